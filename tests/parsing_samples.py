"""How each family writes calls, in as few lines as possible, and strings that hurt: material for the parsing tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise

from hypothesis import strategies as st

from fcutils.messages import ToolCall
from fcutils.parsing.syntaxes import DIALECTS, TURN_ENDS

Calls = Sequence[ToolCall]
PARIS = {"city": "Paris"}
GOOD = '<tool_call>{"name": "good", "arguments": {"a": 1}}</tool_call>'


def obj(call: ToolCall, key: str = "arguments") -> str:
    return json.dumps({"name": call.name, key: call.arguments}, ensure_ascii=False)


def between(open_: str, close: str, key: str = "arguments") -> Callable[[Calls], str]:
    return lambda calls: "\n".join(f"{open_}{obj(call, key)}{close}" for call in calls)


def glaive(calls: Calls) -> str:
    """Arguments in single quotes, as JSON; an apostrophe stays one."""
    one = """<functioncall> {"name": %s, "arguments": '%s'} """
    return "\n".join(one % (json.dumps(call.name), json.dumps(call.arguments, ensure_ascii=False)) for call in calls)


def openai(calls: Calls) -> str:
    entries = [call.to_openai() | {"id": f"call_{number}"} for number, call in enumerate(calls)]
    return json.dumps({"role": "assistant", "content": None, "tool_calls": entries})


def pythonic(calls: Calls) -> str:
    return "[" + ", ".join(f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})" for c in calls) + "]"


def functiongemma_value(value: object) -> str:
    if isinstance(value, str):
        return f"<escape>{value}<escape>"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{functiongemma_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(functiongemma_value, value)) + "]"
    return json.dumps(value)


def functiongemma(calls: Calls) -> str:
    one = "<start_function_call>call:{}{}<end_function_call>"
    return "".join(one.format(call.name, functiongemma_value(dict(call.arguments))) for call in calls)


# (dialect, how it writes calls)
WRITERS: dict[str, tuple[str, Callable[[Calls], str]]] = {
    "openhermes": (
        "openhermes",
        lambda calls: (
            f"<multiplefunctions>\n{between('    <functioncall> ', ' </functioncall>')(calls)}\n</multiplefunctions><|im_end|>"
        ),
    ),
    "hermes": ("hermes", between("<tool_call>\n", "\n</tool_call>")),
    "hermes, unclosed": ("hermes", lambda calls: between("<tool_call>", "")(calls) + "<|im_end|>"),
    "hermes, one tag": ("hermes", lambda calls: "<tool_call>[" + ", ".join(map(obj, calls)) + "]</tool_call>"),
    "gemma": (
        "gemma",
        lambda calls: "<think>So.</think>" + between("<tool_call>", "</tool_call>")(calls) + "<end_of_turn>",
    ),
    "thought": ("thought", lambda calls: "<thought>So.</thought>" + between("<function>", "</function>")(calls) + "<|im_end|>"),
    "mistral, old": ("mistral", lambda calls: "[TOOL_CALLS] [" + ", ".join(map(obj, calls)) + "]</s>"),
    "mistral, v11": (
        "mistral",
        lambda calls: "".join(f"[TOOL_CALLS]{c.name}{json.dumps(c.arguments)}" for c in calls) + "</s>",
    ),
    "mistral, marker lost": ("json", lambda calls: "[" + ", ".join(map(obj, calls)) + "]"),
    "openai": ("openai", openai),
    "bare": ("json", lambda calls: "\n".join(map(obj, calls))),
    "fenced": ("fenced", lambda calls: "Here:\n```json\n" + "\n".join(map(obj, calls)) + "\n```"),
    "llama": ("llama", lambda calls: "; ".join(obj(call, "parameters") for call in calls) + "<|eot_id|>"),
    "llama, tagged": ("llama", lambda c: "<|python_tag|>" + "; ".join(obj(call, "parameters") for call in c) + "<|eom_id|>"),
    "pythonic": ("pythonic", pythonic),
    "glaive": ("glaive", lambda calls: glaive(calls) + "<|endoftext|>"),
    "functiongemma": ("functiongemma", lambda calls: functiongemma(calls) + "<start_function_response>"),
}
NO_ESCAPES = ("functiongemma",)  # cannot say every string: its quote is `<escape>`, its keys are bare words

MARKERS = sorted({mark for dialect in DIALECTS.values() for rule in dialect.rules for mark in (rule.open, rule.close) if mark})
PAINS = [*MARKERS, *TURN_ENDS, '"', "'", "\\", '\\"', "{", "}", "[", "]", "<", "&", "\n", "'{", "}'", "<escape", "```json\n"]
FRAGMENTS = [
    *PAINS,
    "f(a=1)",
    "[f(",
    '{"name": "f", "arguments": {',
    '{"name": "f", "arguments": {"a": 1}}',
    '{"name": ',
    '"arguments": ',
    '"tool_calls": [',
    "call:f{a:",
    "1e999",
    "NaN",
    "True",
    "word",
    ":",
    ",",
    "=",
    " ",
    "\\u00e9",
    "\\ud800",
    "é\U0001f600",
    '{"a": "',
    "'a': '",
]

texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=25).map("".join)
strings = st.lists(st.sampled_from(PAINS) | st.text(max_size=6), max_size=4).map("".join)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**60), 10**60)
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=6,
)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,12}(\.[a-z]{1,5})?", fullmatch=True).filter(lambda n: n not in ("True", "None"))
identifiers = st.from_regex(r"[a-z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
calls = st.lists(st.builds(ToolCall, names, st.dictionaries(identifiers, values, max_size=3)), min_size=1, max_size=4)
cuts = st.lists(st.integers(0, 2000), max_size=12)


def split(text: str, places: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(edges)]
