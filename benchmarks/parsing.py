"""How fast are calls read out of text, beside json_repair, langchain-core and transformers? Also on text made to be slow.

    python benchmarks/parsing.py              all of it, about a quarter of an hour; writes results/parsing.json
    python benchmarks/parsing.py --quick      the same with few repetitions; writes nothing

Times are CPU seconds of this process without garbage collection, the least of several runs, so that a busy machine disturbs
little; where a parser raises an exception (marked !), its time ends there. Each peer gets the form that it reads: transformers
the tagged reply with a response template, json_repair and langchain-core the JSON alone, which spares them the search for it.
Streaming means what each offers: transformers' own `ResponseParser`, langchain-core's `JsonOutputToolsParser` over message
chunks, json_repair called again on all the text so far.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from fcutils.parsing import ReplyStream, extract_function_calls, parse_reply

RESULTS = Path(__file__).parent / "results" / "parsing.json"
FLOORS = {"most_for_a_doubling": 2.3, "seconds_for_1MB": 1.0, "streamed_32kB_ms": 60.0}
SIZES = [20_000 * 2**k for k in range(7)]  # to 1.28 MB
PEER_SIZES = [10_000, 20_000]
PEERS = ("json_repair", "langchain-core", "transformers")
TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
    },
}


def again(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """A text of about n characters: `unit` over and over, between `before` and `after`."""
    return lambda n: before + (unit * (n // len(unit) + 1))[: max(0, n - len(before) - len(after))] + after


CALL = '<tool_call>{"name": "f", "arguments": {"a": '
ADVERSARIAL: dict[str, Callable[[int], str]] = {
    "opening tags": again("<tool_call>"),
    "opening tags and braces": again("<tool_call>{"),
    "opening tags and quotes": again('<tool_call>{"'),
    "opening tags and quotes of both kinds": again("<tool_call>{'<tool_call>{\""),
    "quotes that change sides": again("<tool_call>{'\",':\""),
    "half a call, again and again": again('<tool_call>{"name": "f", "arguments": {"a": "'),
    "a closed tag in an open string": again('<tool_call>{"</tool_call>"x'),
    "closing tags": again("</tool_call>"),
    "closing tags in a string": again("</tool_call>", CALL + '"'),
    "half a tag": again("<tool_cal"),
    "angle brackets": again("<"),
    "braces": again("{"),
    "brackets": again("["),
    "brackets and braces": again("[{"),
    "braces in a call": again('{"a":', "<tool_call>"),
    "brackets in a call": again("[", CALL),
    "braces and quotes": again('{"'),
    "names without end": again('{"name":'),
    "objects in prose": again('{"name": "f", "arguments": {}}, '),
    "quotes": again('"', "<tool_call>{"),
    "backslashes": again("\\", CALL + '"'),
    "escaped quotes": again('\\"', CALL + '"'),
    "unicode escapes": again("\\u0041", CALL + '"', '"}}'),
    "fences": again("```"),
    "fences and braces": again("```json\n{"),
    "fenced halves": again('```json\n{"name": "f", "arguments": '),
    "thoughts": again("<think>"),
    "thoughts, closed": again("<think></think>"),
    "turn ends": again("</s>"),
    "Mistral markers": again("[TOOL_CALLS]"),
    "Mistral heads": again("[TOOL_CALLS]a{"),
    "a Mistral name without end": again("a", "[TOOL_CALLS]"),
    "Mistral ids": again("[TOOL_CALLS]a[CALL_ID]"),
    "FunctionGemma calls": again("<start_function_call>call:f{a:<escape>"),
    "FunctionGemma quotes": again("<escap", "<start_function_call>call:f{a:<escape>"),
    "Python calls": again("[f("),
    "a Python call of many arguments, cut off": again("a=1, ", "[f("),
    "a list of Python calls": again("f(a=1), ", "["),
    "Glaive": again('<functioncall> {"name": "f", "arguments": \'{"a": \'x'),
    "Glaive's apostrophes": again("it's ", '<functioncall> {"name": "f", "arguments": \'{"a": "'),
    "a number without end": again("1", CALL),
    "numbers": again("1,", CALL + "["),
    "empty objects": again("{},", CALL + "["),
    "empty keys": again('"":0,', "<tool_call>{"),
    "white space": again(" ", "<tool_call>"),
    "white space after a key": again(" ", '<tool_call>{"name"'),
    "junk": again("{'\"}", CALL + "oops "),
    "bad calls": again('<tool_call>{"name": oops}</tool_call>'),
    "good calls": again('<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n'),
    "one long string": again("x", CALL + '"', '"}}</tool_call>'),
    "prose": again("The quick {brown} fox [jumps] `over` the <b>lazy</b> dog. "),
}


def fcutils(text: str) -> object:
    return parse_reply(text, tools=["g"])


def json_repair(text: str) -> object:
    from json_repair import loads

    return loads(text)


def langchain_core(text: str) -> object:
    from langchain_core.output_parsers import JsonOutputParser

    return JsonOutputParser().parse(text)


def transformers(text: str) -> object:
    from transformers.utils.chat_parsing import parse_response

    return parse_response(text, TEMPLATE, prefix="")


PARSERS = {"fcutils": fcutils, "json_repair": json_repair, "langchain-core": langchain_core, "transformers": transformers}


def stream_fcutils(head: str, pieces: Iterable[str], tail: str) -> object:
    stream = ReplyStream()
    for piece in (f"<tool_call>{head}", *pieces, f"{tail}</tool_call>"):
        stream.feed(piece)
    stream.close()
    return stream.reply.calls[0].arguments


def stream_json_repair(head: str, pieces: Iterable[str], tail: str) -> object:
    from json_repair import loads

    text, found = "", None
    for piece in (head, *pieces, tail):
        text += piece
        found = loads(text, stream_stable=True)
    assert isinstance(found, dict)
    return found["arguments"]


def stream_langchain_core(head: str, pieces: Iterable[str], tail: str) -> object:
    """As a server streams it: the arguments alone, as tool_call_chunks."""
    from langchain_core.messages import AIMessageChunk
    from langchain_core.output_parsers import JsonOutputToolsParser

    arguments = [head.partition('"arguments": ')[2], *pieces, tail.removesuffix("}")]
    chunks = (
        AIMessageChunk(
            content="", tool_call_chunks=[{"name": None if n else "f", "args": text, "id": None if n else "1", "index": 0}]
        )
        for n, text in enumerate(arguments)
    )
    found: Any = None
    for told in JsonOutputToolsParser().transform(chunks):  # type: ignore[arg-type]
        found = told
    return found[0]["args"]


def stream_transformers(head: str, pieces: Iterable[str], tail: str) -> object:
    from transformers.utils.chat_parsing import ResponseParser

    parser = ResponseParser(TEMPLATE, prefix="")
    for piece in (f"<tool_call>{head}", *pieces, f"{tail}</tool_call>"):
        parser.feed(piece)
    return parser.finalize()[0]["tool_calls"][0]["function"]["arguments"]


STREAMS = {
    "fcutils": stream_fcutils,
    "json_repair": stream_json_repair,
    "langchain-core": stream_langchain_core,
    "transformers": stream_transformers,
}


class OutOfTime(BaseException):
    """Not an Exception, so that no parser catches it."""


@dataclass(frozen=True)
class Timing:
    """CPU seconds, None if it took more than the limit; and the error with which the work ended, if any."""

    seconds: float | None
    error: str = ""


def timing(work: Callable[[], object], runs: int, limit: float = 25.0) -> Timing:
    """The least of several runs."""
    best, loops, error = float("inf"), 1, ""
    for run in range(runs):
        try:
            with cpu_limit(limit):
                start = time.process_time()
                for _ in range(loops):
                    error = ended_with(work)
                best = min(best, (time.process_time() - start) / loops)
        except OutOfTime:
            return Timing(None)
        if run == 0:
            loops = max(1, min(200, int(0.004 / max(best, 1e-6))))
    return Timing(best, error)


def ended_with(work: Callable[[], object]) -> str:
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return ""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raises OutOfTime inside the block after so much CPU time. Garbage is collected before it, not in it."""
    gc.collect()
    gc.disable()
    start = time.process_time()

    def look(*_: object) -> None:
        if (left := seconds - (time.process_time() - start)) <= 0:
            raise OutOfTime
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()


def growth(seconds: list[float]) -> float:
    """The most that a doubling of the text costs."""
    return max(after / before for before, after in pairwise(seconds))


def adversarial(runs: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, make in ADVERSARIAL.items():
        texts = [make(size) for size in SIZES]
        least = [float("inf")] * len(texts)
        for run in range(4 * runs):
            found = [timing(partial(fcutils, text), 2).seconds or float("inf") for text in texts]
            least = [min(pair) for pair in zip(least, found, strict=True)]
            if run >= 2 and growth(least) < 2.15:  # a busy machine makes it larger, never smaller
                break
        out[name] = {"seconds": dict(zip(SIZES, least, strict=True)), "growth": growth(least)}
        out[name]["seconds_1MB"] = timing(partial(fcutils, make(1_000_000)), 3).seconds
        out[name] |= {peer: peer_row(PARSERS[peer], make) for peer in PEERS}
        print(f"  {name}", file=sys.stderr)
    return out


def peer_row(parse: Callable[[str], object], make: Callable[[int], str]) -> dict[str, Any]:
    small = timing(partial(parse, make(PEER_SIZES[0])), 1, limit=3)
    large = Timing(None) if small.seconds is None else timing(partial(parse, make(PEER_SIZES[1])), 1, limit=12)
    times: dict[Any, Any] = dict(zip(PEER_SIZES, (small.seconds, large.seconds), strict=True))
    return {**times, "error": large.error or small.error}


def streamed(runs: int) -> dict[str, Any]:
    """A call whose one argument has 4 to 64 kB, four characters at a time; a peer stops where it needs 25 s."""
    words = 'A line of a file, with "quotes",\n\ttabs and é. '
    out: dict[str, Any] = {}
    for name, stream in STREAMS.items():
        out[name] = {}
        for kilobytes in (4, 8, 16, 32, 64):
            value = (words * 2000)[: kilobytes * 1024]
            body = json.dumps(value, ensure_ascii=False)
            pieces = [body[at : at + 4] for at in range(0, len(body), 4)]
            work = partial(stream, '{"name": "f", "arguments": {"text": ', pieces, "}}")
            assert kilobytes > 4 or work() == {"text": value}, f"{name} does not read the call"
            found = timing(work, 2 * runs if name in ("fcutils", "transformers") else 1).seconds
            out[name][f"{kilobytes}kB_ms"] = found and found * 1000
            if found is None:
                break
    return out


def one_reply(runs: int) -> dict[str, Any]:
    """A reply of everyday size, in microseconds."""
    body = '{"name": "get_weather", "arguments": {"city": "São Paulo", "days": 3, "units": "metric", "hourly": false}}'
    reply = f"I will look that up.\n<tool_call>\n{body}\n</tool_call><|im_end|>"
    work: dict[str, Callable[[], object]] = {
        "fcutils": partial(extract_function_calls, reply),
        "fcutils, JSON alone": partial(extract_function_calls, body),
    }
    work |= {peer: partial(PARSERS[peer], reply if peer == "transformers" else body) for peer in PEERS}
    for name, do in work.items():
        assert "São Paulo" in repr(do()), f"{name} does not read the call"
    return {name: (timing(do, runs * 5).seconds or float("nan")) * 1e6 for name, do in work.items()}


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = (
        [line.partition(": ")[2] for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    )
    packages = {name: version(name) for name in ("json_repair", "langchain-core", "transformers")}
    system = {"system": platform.platform(), "cpu": models[0] if models else platform.processor(), "cores": os.cpu_count()}
    return {**system, "load": list(os.getloadavg()), "python": platform.python_version(), **packages}


def figure(value: float | None, unit: str = "") -> str:
    return "too long" if value is None else f"{value:,.3g}{unit}" if value < 1000 else f"{value:,.0f}{unit}"


def show(results: dict[str, Any]) -> None:
    reply = results["one_reply_us"]
    print("\nOne reply, microseconds (and how many times ours)")
    for name, value in reply.items():
        print(f"  {name:22}{figure(value):>10}{value / reply['fcutils']:>9.1f} x")
    print("\nAn argument streamed 4 characters at a time, ms (at the largest size: times ours)")
    sizes = list(results["streamed"]["fcutils"])
    print(f"  {'':18}" + "".join(f"{size.removesuffix('_ms'):>12}" for size in sizes))
    for name, times in results["streamed"].items():
        size, value = [(size, value) for size, value in times.items() if value is not None][-1]
        print(f"  {name:18}" + "".join(f"{figure(times.get(s)):>12}" for s in sizes), end="")
        print(f"   {value / results['streamed']['fcutils'][size]:,.0f} x")
    print("\nAdversarial text: ours at 1 MB (s) and most for a doubling; all at 20 kB (ms), peers' growth from 10 kB")
    print(f"  {'':42}{'1 MB':>7}{'growth':>8}{'20 kB':>9}" + "".join(f"{peer:>20}" for peer in PEERS))
    for name, row in results["adversarial"].items():
        print(f"  {name:42}{row['seconds_1MB']:>7.3f}{row['growth']:>8.2f}{row['seconds'][SIZES[0]] * 1000:>9.2f}", end="")
        for peer in PEERS:
            small, large, error = row[peer].values()
            print(f"{figure(large and large * 1000):>11}", end="!" if error else " ")
            print(f"{f' x{large / small:.2f}' if small and large else '':<8}", end="")
        print()


def missed(results: dict[str, Any]) -> list[str]:
    rows = results["adversarial"]
    out = [f"{name}: growth {row['growth']:.2f}" for name, row in rows.items() if row["growth"] > FLOORS["most_for_a_doubling"]]
    out += [
        f"{name}: {row['seconds_1MB']:.2f} s" for name, row in rows.items() if row["seconds_1MB"] > FLOORS["seconds_for_1MB"]
    ]
    stream = results["streamed"]["fcutils"]["32kB_ms"]
    return out + ([f"32 kB streamed: {stream:.0f} ms"] if stream > FLOORS["streamed_32kB_ms"] else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions, nothing written")
    runs = 1 if parser.parse_args().quick else 5
    before = {
        "command": "python benchmarks/parsing.py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }
    results = {"one_reply_us": one_reply(runs), "streamed": streamed(runs), "adversarial": adversarial(runs)}
    show(results)
    failures = missed(results)
    print("\nFloors: " + ("all met" if not failures else "MISSED: " + "; ".join(failures)))
    if runs > 1:
        RESULTS.write_text(
            json.dumps({**before, "floors": FLOORS, **results}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        print(f"Written to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
