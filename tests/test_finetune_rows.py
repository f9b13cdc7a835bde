"""Rows as they are trained on: the engine's own ids, the mask, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from finetune_samples import CITIES, ROWS, base, row, tokenizer

from fcutils.dialects import DIALECTS, encode, get
from fcutils.engines.local import LocalEngine
from fcutils.finetune import BadRows, FinetuneError, add_tokens, prepare
from fcutils.finetune.rows import IGNORED
from fcutils.messages import Conversation, Message, ToolCall, conversation


@pytest.fixture(scope="module")
def words():
    loaded = base("gemma2")
    add_tokens(loaded.model, loaded.tokenizer, "gemma")
    return loaded.tokenizer


def test_the_mask_covers_what_the_model_says_and_nothing_else(words) -> None:
    made = prepare(ROWS, "gemma", words, 1024)
    for ids, labels, city in zip(made.ids, made.labels, CITIES, strict=True):
        learnt = [id_ for id_, label in zip(ids, labels, strict=True) if label != IGNORED]
        assert all(label in (id_, IGNORED) for id_, label in zip(ids, labels, strict=True))
        said = words.decode(learnt)
        assert said.count("<end_of_turn>") == 2 and said.startswith("<think>") and f"It is cold in {city}." in said
        assert "What's the weather" not in said and "<tool_response>" not in said and "<start_of_turn>" not in said
    assert made.learnt == sum(label != IGNORED for labels in made.labels for label in labels) < made.tokens / 2


def test_what_is_trained_on_is_what_is_asked(words) -> None:
    """The prompt of a training row is, token for token, what the engine sends."""
    loaded = base("gemma2")
    add_tokens(loaded.model, loaded.tokenizer, "gemma")
    engine = LocalEngine(loaded.model, loaded.tokenizer, "gemma")
    for talk in ROWS[:3]:
        made = prepare([talk], "gemma", loaded.tokenizer, 1024)
        ids, labels = made.ids[0], made.labels[0]
        first = next(place for place, label in enumerate(labels) if label != IGNORED)
        prompt = engine.encode(engine.dialect.render(replace(talk, messages=talk.messages[:1]), generate=True))
        assert ids[:first] == prompt


def test_everything_in_the_loss_if_asked_for(words) -> None:
    made = prepare(ROWS, "gemma", words, 1024, answers_only=False)
    assert made.labels == made.ids
    assert made.learnt == made.tokens - len(ROWS), "the first token of a row is never predicted"


def test_long_rows_are_counted_listed_and_left_out_only_when_told_so(words) -> None:
    long = replace(ROWS[1], messages=(Message("user", "so " * 300), *ROWS[1].messages[1:]))
    rows = [ROWS[0], long, ROWS[2], long]
    with pytest.raises(BadRows, match="2 of 4 rows") as error:
        prepare(rows, "gemma", words, 400)
    assert [number for number, _ in error.value.faults] == [2, 4]
    assert "row 2:" in str(error.value) and "leave_out_long=True" in str(error.value)
    made = prepare(rows, "gemma", words, 400, leave_out_long=True)
    tokens = len(encode(get("gemma").render(long), words).ids)
    assert made.left_out == ((2, tokens), (4, tokens))
    assert made.ids == prepare([ROWS[0], ROWS[2]], "gemma", words, 400).ids, "no row is cut"
    with pytest.raises(FinetuneError, match="nothing is left"):
        prepare([long], "gemma", words, 400, leave_out_long=True)


def test_a_row_of_exactly_the_length_fits(words) -> None:
    tokens = len(encode(get("gemma").render(ROWS[0]), words).ids)
    assert prepare([ROWS[0]], "gemma", words, tokens).longest == tokens
    with pytest.raises(BadRows, match="1 too many"):
        prepare([ROWS[0]], "gemma", words, tokens - 1)


def _calling(call: ToolCall) -> Conversation:
    return replace(ROWS[0], messages=(ROWS[0].messages[0], Message("assistant", calls=(call,))))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_calling(ToolCall("weather", {"town": "Oslo"})), "'city' is a required property"),
        (_calling(ToolCall("weather", {"city": 3})), "3 is not of type 'string'"),
        (_calling(ToolCall("wether", {"city": "Oslo"})), "no tool named 'wether'"),
        (conversation([Message("user", "hi")]), "nothing in it is learnt"),
        (conversation([Message("assistant", "hi")]), "begins with a user's message"),
        (conversation([]), "no messages"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(words, bad: Conversation, why: str) -> None:
    with pytest.raises(BadRows, match="1 of 4 rows") as error:
        prepare([ROWS[0], ROWS[1], bad, ROWS[2]], "gemma", words, 1024)
    assert {number for number, _ in error.value.faults} == {3}
    assert "row 3: " in str(error.value) and why in str(error.value)


def test_many_bad_rows_are_counted() -> None:
    rows = [row(city) for city in CITIES] * 3
    with pytest.raises(BadRows, match="36 of 36 rows") as error:
        prepare(rows, "gemma", tokenizer("gemma"), 1024)
    assert "finetune.add_tokens" in str(error.value)
    assert str(error.value).endswith("and 26 more")


def test_no_rows_is_an_error(words) -> None:
    with pytest.raises(FinetuneError, match="no rows"):
        prepare([], "gemma", words, 1024)


def test_every_dialect_that_a_local_model_speaks_has_a_mask() -> None:
    for name in sorted(set(DIALECTS) - {"openai"}):
        loaded = base("llama")
        add_tokens(loaded.model, loaded.tokenizer, name)
        made = prepare(ROWS, name, loaded.tokenizer, 2048)
        assert 0 < made.learnt < made.tokens
