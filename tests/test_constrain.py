"""constrain/: a model that knows nothing writes calls that cannot be wrong, in every dialect, with every kind of tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from constrain_samples import ENGINES, HOT, SHORT, Once, begun, book, box, count, engine, nothing, spelling, valid
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils.constrain import Calls
from fcutils.constrain.vocabulary import vocabulary
from fcutils.dialects import Piece, control_id, encode
from fcutils.engines.base import EngineError, Sampling
from fcutils.engines.local import LocalEngine
from fcutils.engines.server import ServerEngine
from fcutils.messages import Message, ToolCall, conversation
from fcutils.parsing import parse_reply

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=30)  # DEL comes as an escape
NASTY = ("</tool_call>", "<|im_end|>", "[TOOL_CALLS]", 'a "quoted" <function> é\n', "\u2028")
every_engine = pytest.mark.parametrize("who", ENGINES)


# ---- 200 of 200 --------------------------------------------------------------------------------------------------------


def test_200_of_200_calls_of_untrained_models_are_valid() -> None:
    """The promise itself: over every dialect, both kinds of tokenizer, and schemas of all kinds."""
    toolbox, replies, made = box(), 0, 0
    for number, name in enumerate(ENGINES):
        asked = ENGINES[name]()
        rows = [conversation([Message("user", str(row))], [toolbox.tools[row % len(toolbox)]]) for row in range(27)]
        written = asked.reply_many(
            rows, max_tokens=800, sampling=Sampling(1.0, seed=number), constraint=Once(asked, "required", SHORT)
        )
        for talk, row in zip(rows, written, strict=True):
            assert row.error is None
            reply = parse_reply(row.text, asked.dialect.name)
            assert reply.calls and not reply.faults, (name, row.text)
            assert {call.name for call in reply.calls} == {talk.tools[0]["function"]["name"]}
            replies += 1
            made += sum(valid(call, toolbox) for call in reply.calls)
    assert replies == 216 and made >= replies


# ---- token by token ----------------------------------------------------------------------------------------------------


def allowed(guide: Any, asked: LocalEngine) -> set[int]:
    logits = torch.zeros(len(asked.tokenizer))
    if guide.active:
        guide.restrict(logits)
    return set(torch.isfinite(logits).nonzero().flatten().tolist())


def follow(guide: Any, asked: LocalEngine, ids: list[int]) -> None:
    """Every token must be allowed where it comes."""
    for place, token in enumerate(ids):
        if token not in asked.stop_ids:
            options = allowed(guide, asked)
            assert token in options, (asked.tokenizer.decode(ids[:place]), asked.tokenizer.decode([token]), len(options))
        guide.take(token)


def spelt(asked: LocalEngine, text: str) -> list[int]:
    """Text without control tokens, however much it looks like one."""
    return asked.encode([Piece(text)])


@every_engine
@settings(max_examples=6, deadline=None)
@given(text=TEXTS | st.sampled_from(NASTY), many=st.integers(1, 3))
def test_what_the_dialect_itself_writes_is_allowed_token_by_token(who: str, text: str, many: int) -> None:
    """Or a model that was trained on it could not say what it learnt: escaped marks, calls side by side, a thought before."""
    asked, toolbox = ENGINES[who](), box(book, nothing)
    first = ToolCall("book", {"city": text, "day": "2026-01-31", "passengers": [{"name": "Ada", "age": 36}], "budget": -2.5})
    said = Message("assistant", "", "Hm.", (first, ToolCall("nothing"), first)[:many])
    ids = encode(asked.dialect.reply(said), asked.tokenizer).ids
    for choice in ("auto", "required"):
        follow(Calls(asked, choice).guide(toolbox.tools), asked, ids)
    answer = encode(asked.dialect.reply(Message("assistant", f"It is {text}")), asked.tokenizer).ids
    follow(Calls(asked).guide(toolbox.tools), asked, answer)


@every_engine
def test_a_model_without_calls_writes_as_if_nobody_watched(who: str) -> None:
    asked, toolbox = ENGINES[who](), box()
    free = list(begun(asked, toolbox).write(max_tokens=40, sampling=HOT))
    assert list(begun(asked, toolbox).write(max_tokens=40, sampling=HOT, constraint=Calls(asked))) == free


def test_a_mark_spelt_in_several_tokens_is_found_and_pieces_that_reach_over_it_must_fit() -> None:
    asked, toolbox = spelling(), box(book)
    guide = Calls(asked).guide(toolbox.tools)
    for token in spelt(asked, "Well. <tool_call"):
        guide.take(token)
    texts = vocabulary(asked.tokenizer, asked.end_id).texts
    over = {text for token in allowed(guide, asked) if (text := texts[token]).startswith(b">")}
    assert over and all(b'>\n{"name"'.startswith(text) for text in over)
    assert any(text.startswith(b">") and text not in over for text in texts), "some do not fit"
    assert allowed(guide, asked) >= set(spelt(asked, " no, text")), "it may still become something else"
    guide.take(spelt(asked, ">")[0])
    assert {texts[token] for token in allowed(guide, asked)} == {t for t in texts if t and b'\n{"name": "book"'.startswith(t)}


@every_engine
def test_no_control_token_can_stand_inside_a_call(who: str) -> None:
    asked, toolbox = ENGINES[who](), box(book)
    guide = Calls(asked, "required", SHORT).guide(toolbox.tools)
    controls = set(vocabulary(asked.tokenizer, asked.end_id).tokens.values())
    draw, inside = torch.Generator().manual_seed(3), 0
    while guide._matcher is not None:
        options, written = sorted(allowed(guide, asked)), guide._call.decode(errors="replace")
        if '"arguments"' in written and not written.rstrip().endswith("}"):
            assert controls.isdisjoint(options)
            inside += 1
        guide.take(options[int(torch.randint(len(options), (1,), generator=draw))])
    assert inside > 10


def test_behind_a_list_of_calls_comes_another_or_the_end_and_no_answer_begins_like_a_call() -> None:
    asked, toolbox = engine("mistral", "mistral"), box(nothing)
    guide = Calls(asked).guide(toolbox.tools)
    texts = vocabulary(asked.tokenizer, asked.end_id).texts
    assert not {texts[token].strip()[:1] for token in allowed(guide, asked) if texts[token] != b"[TOOL_CALLS]"} & {b"{", b"["}
    ids = asked.encode(asked.dialect.reply(Message("assistant", calls=(ToolCall("nothing"), ToolCall("nothing")))))
    follow(guide, asked, ids[:-1])
    assert allowed(guide, asked) == {asked.end_id, control_id("[TOOL_CALLS]", asked.tokenizer)}
    follow(guide, asked, ids)


# ---- tool_choice -------------------------------------------------------------------------------------------------------


@every_engine
def test_none_lets_no_call_begin(who: str) -> None:
    asked, toolbox = ENGINES[who](), box(book)
    guide = Calls(asked, "none").guide(toolbox.tools)
    mark = asked.dialect.call_open
    known = vocabulary(asked.tokenizer, asked.end_id)
    if mark in known.tokens:
        assert known.tokens[mark] not in allowed(guide, asked)
    for token in spelt(asked, mark[:-1]):
        guide.take(token)
    assert not [token for token in allowed(guide, asked) if known.texts[token].startswith(mark[-1:].encode())]
    without_tools = Calls(asked).guide([])
    assert mark not in known.tokens or known.tokens[mark] not in allowed(without_tools, asked)


def test_a_tools_name_lets_that_one_be_called_and_no_other() -> None:
    asked, toolbox = spelling(), box()
    guide = Calls(asked, "count").guide(toolbox.tools)
    follow(guide, asked, spelt(asked, '<tool_call>\n{"name": "'))
    texts = vocabulary(asked.tokenizer, asked.end_id).texts
    assert {texts[token][:1] for token in allowed(guide, asked)} == {b"c"}


def test_a_choice_that_cannot_be_is_an_error_that_says_so() -> None:
    asked = engine("llama", "hermes")
    with pytest.raises(EngineError, match=r"'cuont' is neither on offer here \(count\)"):
        Calls(asked, "cuont").guide(box(count).tools)
    with pytest.raises(EngineError, match="no tool to call"):
        Calls(asked, "required").guide([])
    with pytest.raises(EngineError, match="LocalEngine"):
        Calls(ServerEngine("http://localhost/v1", "some"))
    rows = asked.reply_many([conversation([Message("user", "x")])], constraint=Calls(asked, "required"))
    assert "no tool to call" in (rows[0].error or "")
