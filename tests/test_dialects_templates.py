"""The chat templates, as TRL and servers use them: the same ids and the same mask as our own rendering.

For text that holds no mark of the dialect. Where a user's or the system's words hold one, the template rewrites it and `render`
keeps it, so that the ids differ, but neither lets it become a token.
"""

import json
from typing import Any

import pytest
from dialect_samples import KINDS, NOTE, TALKS, TOOLS, WORDS, byte_level, tool, with_more, written

from fcutils.dialects import DIALECTS, control_id, encode
from fcutils.messages import Conversation, Message, ToolCall, conversation

WITH_TOKENS = [dialect for dialect in DIALECTS.values() if dialect.tokens]
each = pytest.mark.parametrize("dialect", WITH_TOKENS, ids=lambda dialect: dialect.name)
on_every_kind = pytest.mark.parametrize("kind", KINDS)


def by_template(talk: Conversation, dialect, tokenizer, **options) -> Any:
    row = talk.to_dict()
    if dialect.name == "functiongemma":
        row = with_objects(row)
    return tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), chat_template=dialect.template, **options)


def with_objects(row: dict[str, Any]) -> dict[str, Any]:
    """Every call's arguments as an object, for a template that cannot read JSON."""
    for function in (call["function"] for message in row["messages"] for call in message.get("tool_calls", ())):
        function["arguments"] = json.loads(function["arguments"])
    return row


@each
@on_every_kind
def test_ids_and_mask_are_those_of_our_own_rendering(dialect, kind):
    tokenizer = KINDS[kind]()
    for talk in TALKS.values():
        ours = encode(dialect.render(talk), tokenizer)
        theirs = by_template(talk, dialect, tokenizer, return_dict=True, return_assistant_tokens_mask=True)
        assert theirs["input_ids"] == ours.ids
        assert [bool(learn) for learn in theirs["assistant_masks"]] == ours.learn


@each
@on_every_kind
def test_the_prompt_is_the_same(dialect, kind):
    talk = conversation(TALKS["everything"].messages[:2], TOOLS)
    theirs = by_template(talk, dialect, KINDS[kind](), add_generation_prompt=True, return_dict=False)
    assert theirs == encode(dialect.render(talk, generate=True), KINDS[kind]()).ids


@pytest.mark.parametrize("name", ["hermes", "openhermes", "thought"])
@on_every_kind
def test_tags_that_a_tokenizer_has_as_tokens_become_those_tokens(name, kind):
    dialect, tokenizer = DIALECTS[name], with_more(kind, *DIALECTS[name].tags)
    for talk in TALKS.values():
        ours = encode(dialect.render(talk), tokenizer)
        assert by_template(talk, dialect, tokenizer, return_dict=False) == ours.ids
    pieces = dialect.render(TALKS["everything"])
    assert [ours for ours in encode(pieces, tokenizer).ids if ours in marker_ids(dialect, tokenizer)] == [
        tokenizer.convert_tokens_to_ids(piece.text) for piece in pieces if piece.control or piece.tag
    ]


@on_every_kind
def test_white_space_that_is_an_added_token_is_found_in_text(kind):
    dialect, tokenizer = DIALECTS["gemma"], with_more(kind, "\n", "\n\n", "▁▁", "\t")
    for talk in TALKS.values():
        assert by_template(talk, dialect, tokenizer, return_dict=False) == encode(dialect.render(talk), tokenizer).ids


def marker_ids(dialect, tokenizer) -> set[int]:
    return {id_ for token, id_ in tokenizer.get_added_vocab().items() if token in dialect.tokens + dialect.tags}


def attacked(mark: str) -> Conversation:
    call = ToolCall(mark, {mark: f"x{mark}", "deep": [{mark: mark}]}, "123456789")
    return conversation(
        [
            Message("system", f"a{mark}"),
            Message("user", f"{mark}b{mark}{mark}"),
            Message("assistant", f"c {mark} d", f"e{mark}", (call,)),
            Message("tool", f'{{"{mark}": "{mark}"}}', name=mark, call_id=call.id),
            Message("tool", mark, name=mark, call_id=call.id),
        ],
        [tool(mark, **{mark: mark})],
    )


@each
def test_a_mark_in_any_text_becomes_a_token_in_neither(dialect):
    tokenizer = with_more("byte-level", *dialect.tags)
    markers = marker_ids(dialect, tokenizer)
    for mark in dialect.tokens + dialect.tags:
        pieces = dialect.render(attacked(mark))
        set_by_us = [tokenizer.convert_tokens_to_ids(piece.text) for piece in pieces if piece.control or piece.tag]
        for ids in (encode(pieces, tokenizer).ids, by_template(attacked(mark), dialect, tokenizer, return_dict=False)):
            assert [id_ for id_ in ids if id_ in markers] == set_by_us


@each
def test_a_mark_in_a_tool_a_result_or_a_reply_is_written_alike(dialect):
    for mark in dialect.tokens + dialect.tags:
        messages = attacked(mark).messages
        talk = conversation([Message("user", "hi"), *messages[2:]], attacked(mark).tools)
        assert by_template(talk, dialect, byte_level(), tokenize=False) == written(dialect, talk)


@pytest.mark.parametrize("dialect", [one for one in WITH_TOKENS if one.name != "functiongemma"], ids=lambda one: one.name)
def test_arguments_may_be_an_object_or_text(dialect):
    row = conversation([Message("user", "hi"), Message("assistant", calls=(NOTE,))]).to_dict()
    as_text = byte_level().apply_chat_template(row["messages"], chat_template=dialect.template, tokenize=False)
    row["messages"][1]["tool_calls"][0]["function"]["arguments"] = dict(NOTE.arguments)
    row["messages"][1]["content"] = None
    assert byte_level().apply_chat_template(row["messages"], chat_template=dialect.template, tokenize=False) == as_text


@pytest.mark.parametrize("name", ["gemma", "thought", "qwen3"])
def test_a_thought_may_come_under_the_name_that_servers_use(name):
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes", "reasoning_content": "why not"}]
    text = byte_level().apply_chat_template(messages, chat_template=DIALECTS[name].template, tokenize=False)
    assert text == written(DIALECTS[name], conversation([Message("user", "hi"), Message("assistant", "yes", "why not")]))


@each
def test_a_template_wants_a_users_message_first(dialect):
    with pytest.raises(Exception, match=f"{dialect.name}: a conversation begins with a user's message"):
        byte_level().apply_chat_template([{"role": "assistant", "content": "hi"}], chat_template=dialect.template)


def test_the_text_is_the_same_where_ids_differ_by_the_border_of_the_models_turn():
    """A tokenizer that joins a line break with what follows joins prompt and reply, too; asked, a model has no such token."""
    dialect, tokenizer, talk = DIALECTS["openhermes"], byte_level(WORDS), TALKS["tools without system"]
    ours, theirs = encode(dialect.render(talk), tokenizer).ids, by_template(talk, dialect, tokenizer, return_dict=False)
    assert ours != theirs and tokenizer.decode(ours) == tokenizer.decode(theirs)
    asked = by_template(
        conversation(talk.messages[:1], talk.tools), dialect, tokenizer, add_generation_prompt=True, return_dict=False
    )
    assert ours[: len(asked)] == asked != theirs[: len(asked)]
    assert control_id("<|im_end|>", tokenizer) in ours


@pytest.mark.parametrize("dialect", [one for one in WITH_TOKENS if one.response_template], ids=lambda one: one.name)
@pytest.mark.parametrize("said", ["", "One moment."])
@pytest.mark.parametrize("thought", ["", "Cold there?"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_server_reads_thought_calls_and_content(dialect, said, thought, count):
    calls = tuple(ToolCall("weather", {"city": f"Oslo </x> {i}", "days": i}) for i in range(count))
    message = Message("assistant", said, thought, calls)
    tokenizer = byte_level.__wrapped__()  # of its own: it is dressed
    dialect.dress(tokenizer)
    prompt = encode(dialect.render(conversation(TALKS["everything"].messages[:2], TOOLS), generate=True), tokenizer).ids
    reply = encode(dialect.reply(message), tokenizer).ids
    read = tokenizer.parse_response(reply, prefix=prompt)
    assert read["role"] == "assistant" and (read.get("content") or "").strip() == said
    assert read.get("reasoning_content", "") == (thought if dialect.thought_open else "")
    functions = [call["function"] for call in read.get("tool_calls", [])]
    assert [(one["name"], one["arguments"]) for one in functions] == [(call.name, dict(call.arguments)) for call in calls]


def test_a_dialect_with_calls_of_its_own_has_no_response_template():
    assert {one.name for one in DIALECTS.values() if not one.response_template} == {
        "openhermes",
        "mistral",
        "functiongemma",
        "openai",
    }
