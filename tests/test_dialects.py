"""Every dialect passes the same table: what it says is read back, it writes what it declares, the model learns what it says."""

import json
import re
from dataclasses import replace

import pytest
from dialect_samples import NOTE, OSLO, TALKS, TOOLS, tool, written
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fcutils.dialects import DIALECTS, Dialect, DialectError, get
from fcutils.dialects.hermes import Hermes
from fcutils.dialects.mistral import short_id
from fcutils.dialects.openai import OpenAI
from fcutils.messages import Conversation, Message, ToolCall, conversation, dumps
from fcutils.parsing import parse_reply
from fcutils.parsing.syntaxes import grammar

ALL = [*DIALECTS.values(), OpenAI("function_call")]
each = pytest.mark.parametrize("dialect", ALL, ids=lambda d: f"{d.name} {getattr(d, 'style', '')}".strip())
RESULTS = [message for message in TALKS["everything"].messages if message.role == "tool"]
MARKS = sorted(
    {mark for dialect in ALL for mark in (*dialect.tokens, *dialect.tags)} | {"<eos>", "<|eot_id|>", "```json", "```"}
)
NASTY = [
    *MARKS,
    '"',
    "\\",
    "'",
    "}",
    "]}",
    "\n",
    "&",
    "<",
    "\u2028",
    "\x00",
    "\\u003c",
    '{"name": "f", "arguments": {}}',
    "日本",
]
nasty = st.lists(st.sampled_from(NASTY) | st.text(max_size=4), max_size=6).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | nasty,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty, inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(ToolCall, nasty.filter(str.strip), st.dictionaries(nasty, values, max_size=3))


def one_call_each(talk: Conversation) -> Conversation:
    """What OpenAI's older form can say, too: one call a message, and its result."""
    kept = [
        m
        for before, m in zip([None, *talk.messages], talk.messages, strict=False)
        if not (m.role == "tool" == getattr(before, "role", ""))
    ]
    return replace(talk, messages=tuple(replace(message, calls=message.calls[:1]) for message in kept))


def talks_for(dialect: Dialect) -> list[Conversation]:
    older = isinstance(dialect, OpenAI) and dialect.style == "function_call"
    return [one_call_each(talk) if older else talk for talk in TALKS.values()]


def reply(dialect: Dialect, message: Message) -> str:
    return "".join(piece.text for piece in dialect.reply(message))


def plain(made) -> list[tuple[str, str]]:
    """With the types of numbers: 1 and 1.0 are two things."""
    return [(call.name, dumps(dict(call.arguments))) for call in made]


@each
@settings(max_examples=80, deadline=None)
@given(st.lists(calls, max_size=3), st.data())
@example([ToolCall("f", {"x": "</tool_call></function></functioncall>[TOOL_CALLS]</s>"})], None)
def test_calls_are_read_back_whatever_stands_in_them_and_beside_them(dialect, made, data):
    made = made[:1] if dialect.name == "openai" and dialect.style == "function_call" else made
    beside = st.lists(st.sampled_from([*dialect.tokens, *dialect.tags, "{", "\n", "]"]) | st.text(max_size=4), max_size=6).map(
        "".join
    )
    thought, content = (data.draw(beside), data.draw(beside)) if data else ("a <thought> b", "a <tool_call> b")
    read = parse_reply(reply(dialect, Message("assistant", content, thought, tuple(made))), dialect.name)
    assert plain(read.calls) == plain(made)
    assert not read.faults


@each
@settings(max_examples=50, deadline=None)
@given(calls.map(lambda call: (call,)) | st.just(()), nasty, nasty)
@example((), "", '{"name": "f", "arguments": {}}')
@example((), "", '[{"name": "f", "arguments": {}}]</s><eos>')
@example((ToolCall("f"),), "Use </s>.", "Write <think> and <|eot_id|>.")
def test_thought_and_content_are_read_back_with_other_families_marks_in_them(dialect, made, thought, content):
    assume(dialect.escape(thought + content) == thought + content)  # its own marks are written otherwise
    content = content.strip()
    read = parse_reply(reply(dialect, Message("assistant", content, thought, made)), dialect.name)
    thinks = dialect.thought_open or dialect.name == "openai"
    assert (read.thought, read.content) == (thought.strip() if thinks else "", content.strip())


@each
def test_every_sentinel_survives(dialect):
    call = ToolCall("SENTINEL_name", {"SENTINEL_key": "SENTINEL_value"}, "SENTINEL1")
    talk = conversation(
        [
            Message("system", "SENTINEL_system"),
            Message("user", "SENTINEL_user"),
            Message("assistant", "SENTINEL_content", calls=(call,)),
            Message("tool", "SENTINEL_result", name=call.name, call_id=call.id),
            Message("assistant", "SENTINEL_answer"),
            Message("user", "SENTINEL_again"),
        ],
        [tool("SENTINEL_tool", SENTINEL_argument="SENTINEL_words")],
    )
    words = ("name", "key", "value", "system", "user", "content", "result", "answer", "again", "tool", "argument", "words")
    assert [word for word in words if f"SENTINEL_{word}" not in written(dialect, talk)] == []


def marks_in(text: str) -> set[str]:
    return set(re.findall(r"<\|?/?\w+\|?>|\[/?[A-Z_]+\]", text))


def declared_and_written(dialect: Dialect) -> tuple[set[str], set[str], set[str], set[str]]:
    """What the dialect declares, what it sets as a marker, what its text shows, and what its template names."""
    pieces = [piece for talk in talks_for(dialect) for piece in dialect.render(talk)]
    as_markers = {piece.text for piece in pieces if piece.control or piece.tag}
    in_text = marks_in("".join(piece.text for piece in pieces))
    return {*dialect.tokens, *dialect.tags}, as_markers, in_text, marks_in(dialect.template) if dialect.tokens else set()


@each
def test_tokens_are_declared_as_they_are_written_and_in_the_template(dialect):
    declared, as_markers, in_text, in_template = declared_and_written(dialect)
    assert declared == as_markers == in_text == in_template
    assert set(dialect.ends) <= set(dialect.tokens) and set(dialect.added) <= set(dialect.tokens)
    assert {dialect.call_open, dialect.call_close} - {""} <= declared


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_the_parser_reads_the_marks_that_the_dialect_writes_and_keeps_out_of_text_and_no_others(dialect):
    read = {mark for mark, rule in grammar(dialect.name).rules.items() if not getattr(rule, "bare", False)}
    assert read <= {*dialect.tokens, *dialect.tags}
    assert {*dialect.ends, dialect.call_open, dialect.call_close, dialect.thought_open, dialect.thought_close} - {""} <= read


def test_a_misspelt_token_is_found():
    class Misspelt(Hermes):
        tags = tuple(tag.replace("response", "reponse") for tag in Hermes.tags)

    declared, as_markers, in_text, in_template = declared_and_written(Misspelt())
    assert declared - as_markers and declared - in_text and declared - in_template


OWN_TOKENS = {  # what the families' tokenizers bring along, of what their turns need
    "openhermes": {"<|im_start|>", "<|im_end|>"},
    "hermes": {"<|im_start|>", "<|im_end|>"},
    "thought": {"<|im_start|>", "<|im_end|>"},
    "gemma": {"<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>", "<end_of_turn>"},
    "mistral": {"<s>", "</s>", "<unk>"}
    | {f"[{end}{name}]" for end in ("", "/") for name in ("INST", "AVAILABLE_TOOLS", "TOOL_RESULTS")},
    "qwen3": {"<|im_start|>", "<|im_end|>", "<think>", "</think>"}
    | {"<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"},
    "functiongemma": {"<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>", "<end_of_turn>", "<escape>"}
    | {f"<{end}_function_{what}>" for end in ("start", "end") for what in ("declaration", "call", "response")},
    "openai": set(),
}
OWN_TOKENS["mistral"].add("[TOOL_CALLS]")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_added_tokens_are_those_that_the_family_lacks(dialect):
    assert dialect.added == tuple(token for token in dialect.tokens if token not in OWN_TOKENS[dialect.name])
    assert not set(dialect.tags) & OWN_TOKENS[dialect.name]


@each
def test_the_mask_covers_exactly_what_the_model_must_say(dialect):
    for talk in talks_for(dialect):
        said = [message for message in talk.messages if message.role == "assistant"]
        learnt = [piece for piece in dialect.render(talk) if piece.learn]
        assert learnt == [piece for message in said for piece in dialect.reply(message)]
        assert all(piece.learn for message in said for piece in dialect.reply(message))
        assert all(dialect.reply(message)[-1].text == dialect.ends[0] for message in said if dialect.ends)
    others = [
        *dialect.prompt(),
        *dialect.after(),
        *dialect.user("x"),
        *dialect.start(TOOLS, "s", "u"),
        *dialect.results(RESULTS),
    ]
    assert not any(piece.learn for piece in others)


@pytest.mark.parametrize(
    "name", [name for name in DIALECTS if name not in ("openai", "functiongemma")]
)  # in one piece, JSON within JSON; and several pieces a value
def test_parts_tell_names_from_values(name):
    pieces = get(name).reply(Message("assistant", "Looking.", calls=(OSLO, NOTE)))
    by_part = {part: [piece.text for piece in pieces if piece.part == part] for part in ("name", "value", "text")}
    assert by_part["name"] == ["weather", "city", "days", "now", "none", "add_note", "text", "größe"]
    assert [json.loads(text) for text in by_part["value"]] == [*OSLO.arguments.values(), *NOTE.arguments.values()]
    assert [text.strip() for text in by_part["text"]] == ["Looking."]


@each
def test_each_turn_only_adds(dialect):
    messages = one_call_each(TALKS["everything"]).messages
    whole = dialect.render(conversation(messages, TOOLS))
    for end in range(2, len(messages)):
        asks = messages[end].role == "assistant"
        part = dialect.render(conversation(messages[:end], TOOLS), generate=asks)
        assert whole[: len(part)] == part and len(part) < len(whole)


@each
def test_a_conversation_begins_with_a_user(dialect):
    with pytest.raises(DialectError, match=r"begins with a user's message"):
        dialect.render(conversation([Message("assistant", "hi")]))


def test_dialects_are_got_by_name():
    assert get("mistral") is DIALECTS["mistral"] and get(Hermes()).name == "hermes"
    with pytest.raises(DialectError, match=r"no dialect named 'llama': there are openhermes, hermes, .*, openai"):
        get("llama")


def test_a_dialect_without_tokens_has_no_template():
    with pytest.raises(DialectError, match="openai: this dialect has no chat template"):
        _ = get("openai").template


def test_openais_lines_are_its_messages():
    for style in ("tool_calls", "function_call"):
        talk = conversation([*TALKS["tools without system"].messages], TOOLS)
        offer, *lines = map(json.loads, written(OpenAI(style), talk).splitlines())
        assert {**offer, "messages": lines} == talk.to_dict(style)


@pytest.mark.parametrize(
    ("call_id", "place", "short"),
    [
        ("aB3dE6gH9", 3, "aB3dE6gH9"),
        ("call_1234567890", 0, "234567890"),
        (None, 0, "call00001"),
        ("", 11, "call00012"),
        ("call00012", 3, "call00012"),
        ("é-1", 0, "000000001"),
    ],
)
def test_mistrals_ids_have_nine_letters_and_digits(call_id, place, short):
    assert short_id(call_id, place) == short


def test_mistral_tells_calls_without_ids_apart():
    replies = [ToolCall("f", {"a": 1}), ToolCall("f", {"a": 2})]
    results = [Message("tool", "x", name="f"), Message("tool", "y", name="f")]
    text = written(get("mistral"), conversation([Message("user", "?"), Message("assistant", calls=tuple(replies)), *results]))
    assert re.findall(r'"(?:id|call_id)": "(\w+)"', text) == ["call00001", "call00002"] * 2


def test_mistral_links_a_result_to_its_call():
    call = ToolCall("f", {"a": 1}, "chatcmpl-tool-99bb")
    text = written(
        get("mistral"),
        conversation([Message("user", "x"), Message("assistant", calls=(call,)), Message("tool", "y", call_id=call.id)]),
    )
    assert text == (
        '<s>[INST] x[/INST][TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "ltool99bb"}]</s>'
        '[TOOL_RESULTS] {"content": "y", "call_id": "ltool99bb"}[/TOOL_RESULTS]'
    )
