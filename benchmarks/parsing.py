"""How fast are calls read out of text, beside json_repair, langchain-core and transformers? Also on text made to be slow.

    python benchmarks/parsing.py              all of it, some minutes of CPU; writes results/parsing.json
    python benchmarks/parsing.py --quick      the same with few repetitions; writes nothing

Made for a machine that is shared. A time is CPU time of this process without garbage collection, the least of several rounds;
a round takes each size once, so that a busy moment falls on all of them, and what others take can only add. Rounds go on for
`MOST_SECONDS` while the worst doubling still looks worse than `SETTLED`.

A peer is given up where it takes more than a limit of CPU time (`over`, with the limit); where it raises an exception (marked
!), its time ends there. Each gets the form that it reads: transformers the tagged reply with a response template, json_repair
and langchain-core the JSON alone, which spares them the search for it. Streaming means what each offers: transformers' own
`ResponseParser`, langchain-core's `JsonOutputToolsParser` over message chunks, json_repair called again on all the text so far.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from adversarial import ADVERSARIAL
from keeping import keep  # a script's folder is on its path

from fcutils.parsing import ReplyStream, extract_function_calls, parse_reply

FLOORS = {"most_for_a_doubling": 2.3, "seconds_for_1MB": 1.0, "streamed_32kB_ms": 60.0}
SIZES = [15_625 * 2**k for k in range(7)]  # to 1 MB
PEER_SIZES = [5_000, 10_000, 20_000]
PEER_LIMIT = 0.4  # CPU seconds for one text
STREAMED = [1024 * 2**k for k in range(2, 8)]  # 4 to 128 kB
STREAM_LIMIT = 1.5  # CPU seconds for one call, for a peer
MOST_SECONDS = 6.0  # of CPU, for more rounds where the figures are not settled
SETTLED = 2.15
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


def once(work: Callable[[], object], limit: float | None = None) -> Timing:
    """One measurement, of as many runs as fill two milliseconds."""
    loops, error = 1, ""
    while True:
        try:
            with limited(limit):
                start = time.process_time()
                for _ in range(loops):
                    error = ended_with(work)
                seconds = time.process_time() - start
        except OutOfTime:
            return Timing(None)
        if seconds >= 0.002 or loops >= 256:
            return Timing(seconds / loops, error)
        loops *= 4


def ended_with(work: Callable[[], object]) -> str:
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return ""


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raises OutOfTime inside the block after so much CPU time. Garbage is collected before it, not in it."""

    def look(*_: object) -> None:  # a timer of CPU time would make the kernel count in ticks
        left = (seconds or 0) - (time.process_time() - start)
        if left <= 0:
            raise OutOfTime
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.01))

    gc.collect()
    gc.disable()
    start = time.process_time()
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()


def least(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """CPU seconds of works that double in size: the least of interleaved rounds."""
    best, began = [float("inf")] * len(works), time.process_time()
    while rounds > 0 or (growth(best) > SETTLED and time.process_time() - began < MOST_SECONDS):
        best = [min(so_far, once(work).seconds or so_far) for so_far, work in zip(best, works, strict=True)]
        rounds -= 1
    return best


def growth(seconds: Sequence[float]) -> float:
    """The most that a doubling costs."""
    return max(after / before for before, after in pairwise(seconds))


def until_over(works: Mapping[int, Callable[[], object]], limit: float) -> dict[str, Any]:
    """A peer's CPU seconds by size, up to the first that takes longer than the limit."""
    out: dict[str, Any] = {"seconds": {}}
    for size, work in works.items():
        found = once(work, limit)
        if found.error:
            out["error"] = found.error
        if found.seconds is None:
            return out | {"over": {"size": size, "limit_s": limit}}
        out["seconds"][size] = found.seconds
    return out


def adversarial(rounds: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, make in ADVERSARIAL.items():
        seconds = least([partial(fcutils, make(size)) for size in SIZES], rounds)
        out[name] = {"fcutils": {"seconds": dict(zip(SIZES, seconds, strict=True)), "growth": growth(seconds)}}
        texts = {size: make(size) for size in PEER_SIZES}
        for peer in PEERS:
            out[name][peer] = until_over({size: partial(PARSERS[peer], text) for size, text in texts.items()}, PEER_LIMIT)
        print(f"  {name}", file=sys.stderr)
    return out


def streamed(rounds: int) -> dict[str, Any]:
    """A call with one long argument, four characters at a time."""
    works = {name: {size: streaming(stream, size) for size in STREAMED} for name, stream in STREAMS.items()}
    for name, by_size in works.items():
        assert STREAMED[0] <= len(str(by_size[STREAMED[0]]())) <= 2 * STREAMED[0], f"{name} does not read the call"
    seconds = least(list(works["fcutils"].values()), rounds)
    out: dict[str, Any] = {"fcutils": {"seconds": dict(zip(STREAMED, seconds, strict=True)), "growth": growth(seconds)}}
    return out | {peer: until_over(works[peer], STREAM_LIMIT) for peer in PEERS}


def streaming(stream: Callable[[str, Iterable[str], str], object], size: int) -> Callable[[], object]:
    words = 'A line of a file, with "quotes",\n\ttabs and é. '
    body = json.dumps((words * (size // len(words) + 1))[:size], ensure_ascii=False)
    pieces = [body[at : at + 4] for at in range(0, len(body), 4)]
    return partial(stream, '{"name": "f", "arguments": {"text": ', pieces, "}}")


def one_reply(rounds: int) -> dict[str, Any]:
    """A reply of everyday size, in microseconds."""
    body = '{"name": "get_weather", "arguments": {"city": "São Paulo", "days": 3, "units": "metric", "hourly": false}}'
    reply = f"I will look that up.\n<tool_call>\n{body}\n</tool_call><|im_end|>"
    works: dict[str, Callable[[], object]] = {
        "fcutils": partial(extract_function_calls, reply),
        "fcutils, JSON alone": partial(extract_function_calls, body),
    }
    works |= {peer: partial(PARSERS[peer], reply if peer == "transformers" else body) for peer in PEERS}
    for name, work in works.items():
        assert "São Paulo" in repr(work()), f"{name} does not read the call"
    best = dict.fromkeys(works, float("inf"))
    for _ in range(5 * rounds):
        best = {name: min(best[name], (once(work).seconds or best[name]) * 1e6) for name, work in works.items()}
    return best


def figure(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.3g}"


def of_peer(row: Mapping[str, Any], sizes: Sequence[int]) -> str:
    """The largest size that a peer managed in ms, its growth on the way there, and where it was given up."""
    seconds = list(row["seconds"].values())
    told = f"{figure(seconds[-1])} at {sizes[len(seconds) - 1] // 1000}k" if seconds else f"over {row['over']['limit_s']:g} s"
    told += f" x{growth(seconds):.1f}" if len(seconds) > 1 else ""
    return told + (" ..." if "over" in row and seconds else "") + ("!" if "error" in row else "")


def show(results: Mapping[str, Any]) -> None:
    reply = results["one_reply_us"]
    print("\nOne reply, microseconds (and how many times ours)")
    for name, value in reply.items():
        print(f"  {name:22}{value:>10,.1f}{value / reply['fcutils']:>9.1f} x")
    print(f"\nAn argument streamed 4 characters at a time, ms (given up after {STREAM_LIMIT:g} s)")
    print(f"  {'':18}" + "".join(f"{size // 1024:>8} kB" for size in STREAMED) + "   most for a doubling")
    for name, row in results["streamed"].items():
        seconds = row["seconds"]
        most = f"x{growth(list(seconds.values())):.2f}" if len(seconds) > 1 else ""
        print(f"  {name:18}" + "".join(f"{figure(seconds.get(size)) or 'over':>11}" for size in STREAMED) + f"   {most}")
    print(f"\nAdversarial text: ours at 1 MB (ms), most for a doubling; peers up to 20 kB or {PEER_LIMIT:g} s (...)")
    for name, row in results["adversarial"].items():
        ours = row["fcutils"]
        print(f"  {name:42}{ours['seconds'][SIZES[-1]] * 1000:>7.0f} x{ours['growth']:.2f}", end="")
        print("".join(f"{of_peer(row[peer], PEER_SIZES):>24}" for peer in PEERS))


def missed(results: Mapping[str, Any]) -> list[str]:
    most, slowest, stream = FLOORS.values()
    rows = {name: row["fcutils"] for name, row in results["adversarial"].items()}
    out = [f"{name}: growth {row['growth']:.2f}" for name, row in rows.items() if row["growth"] > most]
    out += [f"{name}: {at:.2f} s" for name, row in rows.items() if (at := row["seconds"][SIZES[-1]]) > slowest]
    ours = results["streamed"]["fcutils"]
    out += [f"32 kB streamed: {ms:.0f} ms"] if (ms := ours["seconds"][32 * 1024] * 1000) > stream else []
    return out + ([f"streamed: growth {ours['growth']:.2f}"] if ours["growth"] > most else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions, nothing written")
    rounds = 1 if parser.parse_args().quick else 3
    load = list(os.getloadavg())
    for parse in PARSERS.values():
        ended_with(partial(parse, "{}"))  # imports its library
    gc.collect()
    gc.freeze()  # what the libraries hold is not looked through again before each measurement
    results = {"one_reply_us": one_reply(rounds), "streamed": streamed(rounds), "adversarial": adversarial(rounds)}
    show(results)
    failures = missed(results)
    print("\nFloors: " + ("all met" if not failures else "MISSED: " + "; ".join(failures)))
    print(f"CPU time: {time.process_time():.0f} s")
    if rounds > 1:
        about = {"load": load, "cpu_s": round(time.process_time()), "floors": FLOORS}
        keep({**about, **results}, "json_repair", "langchain-core", "transformers")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
