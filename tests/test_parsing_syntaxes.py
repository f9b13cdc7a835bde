"""The syntaxes one by one: what a named dialect reads, and each family's own way of writing a call."""

from __future__ import annotations

import json

import pytest
from parsing_samples import GOOD, PARIS, WRITERS
from test_parsing import calls

from fcutils.messages import ToolCall
from fcutils.parsing import DIALECTS, extract_function_calls, parse_reply


def test_a_named_dialect_reads_its_own_syntax_only() -> None:
    for name in ("openhermes", "mistral", "thought", "json", "pythonic", "functiongemma"):
        assert calls(GOOD, dialect=name) == []
        assert parse_reply(GOOD, name).content.startswith("<tool_call>")
    for name in ("hermes", "mistral", "openai"):
        for text in ('{"name": "f", "arguments": {}}', '[{"name": "f", "arguments": {}}]'):
            assert calls(text, dialect=name) == []
            assert parse_reply(text, name).content == text


def test_a_named_dialect_takes_the_marks_of_other_families_for_text() -> None:
    prose = "Close <b> with </b>, a turn with <|eot_id|> or <eos>, and think in <muse>: "
    for name, (_, write) in {name: WRITERS[name] for name in ("openhermes", "hermes", "gemma", "thought", "glaive")}.items():
        reply = parse_reply(prose + write([ToolCall("f", PARIS)]), name)
        assert (reply.content, list(reply.calls)) == (prose.strip(), [ToolCall("f", PARIS)])
    # these have no place for thoughts, so that nothing can swallow a call
    openhermes = GOOD.replace("tool_call>", "functioncall>")
    for name, call in {"hermes": GOOD, "openhermes": openhermes, "mistral": "[TOOL_CALLS]good{}"}.items():
        reply = parse_reply(f"<think>Hm. {call}", name)
        assert (reply.content, reply.thought, [call.name for call in reply.calls]) == ("<think>Hm.", "", ["good"])


def test_an_unknown_dialect_is_named_and_so_are_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"unknown dialect 'klingon'.*hermes"):
        parse_reply("x", "klingon")
    for name in DIALECTS:
        assert parse_reply("x", name).content == "x"


def test_mistral_ids_and_names() -> None:
    old = '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]</s>'
    new = '[TOOL_CALLS]f{"a": 1}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{"b": 2}[TOOL_CALLS]h[ARGS]{}</s>'
    assert extract_function_calls(old, "mistral") == [ToolCall("f", {"a": 1}, "abcdefghi")]
    assert extract_function_calls(new, "mistral") == [
        ToolCall("f", {"a": 1}),
        ToolCall("g", {"b": 2}, "abcdefghi"),
        ToolCall("h", {}),
    ]


def test_openai_messages() -> None:
    new = {"role": "assistant", "content": None, "tool_calls": [ToolCall("f", PARIS, "c1").to_openai()]}
    old = {"role": "assistant", "content": "Looking.", "function_call": {"name": "f", "arguments": '{"city": "Paris"}'}}
    for dialect in ("openai", None):
        assert extract_function_calls(json.dumps(new), dialect) == [ToolCall("f", PARIS, "c1")]
        assert extract_function_calls(json.dumps(new["tool_calls"]), dialect) == [ToolCall("f", PARIS, "c1")]
        reply = parse_reply(json.dumps(old), dialect)
        assert (reply.content, list(reply.calls)) == ("Looking.", [ToolCall("f", PARIS)])
    silent = parse_reply(json.dumps({"role": "assistant", "content": "Hi.", "tool_calls": None}), "openai")
    assert (silent.content, silent.calls) == ("Hi.", ())


def test_glaive_with_apostrophes_and_with_escapes() -> None:
    apostrophe = """<functioncall> {"name": "f", "arguments": '{"a": "it's", "b": "{x}"}'} <|endoftext|>"""
    escaped = """<functioncall> {"name": "f", "arguments": '{"a": "it\\'s"}'} <|endoftext|>"""
    whole_in_python = str({"name": "f", "arguments": json.dumps({"a": 'it\'s "so"'})})
    assert calls(apostrophe, dialect="glaive") == [("f", {"a": "it's", "b": "{x}"})]
    assert calls(escaped, dialect="glaive") == [("f", {"a": "it's"})]
    assert calls(f"<functioncall> {whole_in_python}", dialect="glaive") == [("f", {"a": 'it\'s "so"'})]
    assert calls("<functioncall> {'name': 'f', 'arguments': {'template': '{x} y'}}") == [("f", {"template": "{x} y"})]


def test_functiongemma() -> None:
    text = '<start_function_call>call:f{s:<escape>a "b", {c}<escape>,n:1.5,l:[<escape>x<escape>],o:{k:true}}<end_function_call>'
    assert calls(text) == [("f", {"s": 'a "b", {c}', "n": 1.5, "l": ["x"], "o": {"k": True}})]


def test_pythonic() -> None:
    assert calls("[f(a=1, b='x', c=[None, {'k': True}]), geo.find(), f(a=1)]") == [
        ("f", {"a": 1, "b": "x", "c": [None, {"k": True}]}), ("geo.find", {}), ("f", {"a": 1})
    ]  # fmt: skip
    for nothing in (
        "[f(1)]",
        "[f(a=b)]",
        "[f(a=g())]",
        "[f(a=1+1)]",
        "[f(**x)]",
        "f(a=1)",
        "[f(a=1) for x in y",
        "[f(a='x' 'y')]",
    ):
        assert len(calls(nothing)) <= nothing.count("f(a=1)")
        assert all(arguments == {"a": 1} for _, arguments in calls(nothing))


@pytest.mark.parametrize("fence", ["```json\n", "```\n", "```JSON\n", "```tool_call\n", "``` "])
def test_fenced_json(fence: str) -> None:
    text = f'So:\n{fence}{{"name": "f", "arguments": {{"a": 1}}}}\n```\nThere.'
    reply = parse_reply(text)
    assert [(call.name, call.arguments) for call in reply.calls] == [("f", {"a": 1})]
    assert reply.content.split() == ["So:", "There."]


def test_a_closing_fence_opens_nothing() -> None:
    text = '```python\nx = 1\n```\n{"name": "f", "arguments": {}}'
    assert calls(text) == []
    assert parse_reply(text).content == text


def test_llama_separates_by_semicolon() -> None:
    text = '<|python_tag|>{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {}}<|eom_id|>'
    assert calls(text) == calls(text.removeprefix("<|python_tag|>")) == [("f", {"a": 1}), ("g", {})]


# -- bare JSON and known tools -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tools", [["f"], [{"type": "function", "function": {"name": "f"}}], [{"name": "f"}]])
def test_known_tools_are_seen_in_the_middle_of_text(tools: list[object]) -> None:
    text = 'Now {"name": "f", "arguments": {"a": 1}} and {"name": "g", "arguments": {}} and [f(a=2)] and {x}.'
    assert calls(text, tools=tools) == [("f", {"a": 1}), ("f", {"a": 2})]
    assert '{"name": "g", "arguments": {}}' in parse_reply(text, tools=tools).content  # type: ignore[arg-type]


def test_a_reply_that_begins_with_a_call_needs_no_known_tool() -> None:
    text = '\n {"name": "f", "arguments": {"a": 1}}\nThat should do.'
    assert calls(text) == calls(text, tools=["other"]) == [("f", {"a": 1})]
    assert parse_reply(text).content == "That should do."
    assert calls(f"<think>Hm.</think>{text}") == [("f", {"a": 1})]


def test_a_tool_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a tool is given by its name"):
        extract_function_calls("x", tools=[{"type": "function"}])
