"""Many conversations at once: every row as if it were alone, whatever stands beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
from dialect_samples import TALKS, TOOLS

from fcutils.engines import batch
from fcutils.engines.base import Sampling, Written
from fcutils.engines.local import LocalEngine
from fcutils.messages import Conversation, Message, conversation

ASKED = [
    conversation([Message("user", "Oslo? " * n), *([Message("assistant", "It is cold.")] if n % 2 else [])], TOOLS[: n % 3])
    for n in range(1, 12)
]
ASKED = [talk if talk.messages[-1].role == "user" else talk.add(Message("user", f"And {len(talk.tools)}?")) for talk in ASKED]


def alone(engine: LocalEngine, talk: Conversation, **options: Any) -> str:
    return "".join(engine.resume(talk).write(**options))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_row_is_as_if_it_were_alone(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS", 4)
    engine = tiny.engine(family)
    came: dict[int, Written] = {}
    written = engine.reply_many(ASKED, max_tokens=30, on_reply=came.__setitem__)
    assert [one.text for one in written] == [alone(engine, talk, max_tokens=30) for talk in ASKED]
    assert [came[place] for place in range(len(ASKED))] == written
    assert all(one.error is None and one.seconds > 0 for one in written)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_rows_that_join_others_are_as_if_they_were_alone(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS", 4)
    engine, lengths = tiny.engine(family), [14, 2, 9, 1, 30, 3, 3, 12, 5, 2, 7]
    talks = [replace(talk, tools=({"function": {"name": str(n)}},)) for talk, n in zip(ASKED, lengths, strict=True)]
    written = engine.reply_many(talks, max_tokens=40, constraint=Ending(engine))
    assert [one.tokens for one in written] == lengths
    assert [one.text for one in written] == [alone(engine, talk, max_tokens=40, constraint=Ending(engine)) for talk in talks]


class Ending:
    """Ends each reply after as many tokens as its tool's name says; what they are is the model's own."""

    active = True

    def __init__(self, engine: LocalEngine, left: int = 0) -> None:
        self._engine, self._left = engine, left

    def guide(self, tools: Any) -> Any:
        return Ending(self._engine, int(tools[0]["function"]["name"]))

    def restrict(self, logits: Any) -> None:
        ends = list(self._engine.stop_ids)
        logits[ends] = float("inf") if self._left == 0 else float("-inf")

    def take(self, token: int) -> None:
        self._left -= 1


def test_one_long_reply_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS", 2)
    engine = tiny.engine("llama")
    replies = [Message("assistant", "word " * n) for n in (25, 2, 2, 2, 2, 2)]
    talks = [conversation([Message("user", str(n))], [{"function": {"name": str(n)}}]) for n in range(len(replies))]
    ended: list[int] = []
    written = engine.reply_many(
        talks, max_tokens=200, constraint=PerRow(engine, replies), on_reply=lambda place, one: ended.append(place)
    )
    assert [one.text for one in written] == [reply.content for reply in replies]
    assert ended == [1, 2, 3, 4, 5, 0]


def test_each_row_stops_at_its_own_end_and_batches_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    replies = [Message("assistant", "word " * n) for n in (1, 30, 3, 20, 2, 1)]
    script = PerRow(engine, replies)
    widths: list[int] = []
    hook = engine.model.register_forward_pre_hook(
        lambda module, arguments, named: widths.append(len(named["input_ids"])), with_kwargs=True
    )
    talks = [conversation([Message("user", str(n))], [{"function": {"name": str(n)}}]) for n in range(len(replies))]
    written = engine.reply_many(talks, max_tokens=200, constraint=script)
    hook.remove()
    assert [one.text for one in written] == [reply.content for reply in replies]
    assert widths[: len(replies)] == [1] * len(replies), "the prompts are read one by one"
    together = widths[len(replies) :]
    assert together == sorted(together, reverse=True)
    assert (together[0], together[-1]) == (len(replies), 1)


class PerRow:
    """Dictates to each row the reply that its tool's name, a number, stands for."""

    def __init__(self, engine: LocalEngine, replies: list[Message]) -> None:
        self._engine, self._replies = engine, replies

    def guide(self, tools: Any) -> Any:
        reply = self._replies[int(tools[0]["function"]["name"])]
        return tiny.Script(self._engine, reply).guide(tools)


def test_what_prompts_have_in_common_is_read_once() -> None:
    engine = tiny.engine("mistral")
    row = TALKS["everything"]
    at = [place for place, message in enumerate(row.messages) if message.role == "assistant"]
    asked = [conversation(row.messages[:place], row.tools) for place in at]
    read: list[int] = []
    hook = engine.model.register_forward_pre_hook(
        lambda module, arguments, named: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    engine.reply_many(asked, max_tokens=1)
    hook.remove()
    longest = engine.encode(engine.dialect.render(asked[-1], generate=True))
    assert sum(read) < len(longest) + 2 * len(asked)


def test_max_tokens_and_the_context_end_a_row() -> None:
    engine = tiny.engine("llama", context=120)
    engine.stop_ids = frozenset()
    short, long = conversation([Message("user", "hi")]), conversation([Message("user", "Oslo " * 40)])
    room = 120 - len(engine.encode(engine.dialect.render(long, generate=True)))
    written = engine.reply_many([short, long], max_tokens=room + 7)
    assert 0 < room < 100
    assert [one.tokens for one in written] == [room + 7, room]


def test_a_row_that_cannot_be_asked_has_an_error_and_the_others_go_on() -> None:
    engine = tiny.engine("llama", context=500)
    good = TALKS["not begun"]
    too_long = conversation([Message("user", "word " * 500)])
    no_user = conversation([Message("assistant", "hello")])
    written = engine.reply_many([too_long, good, no_user], max_tokens=5)
    assert "too many" in (written[0].error or "")
    assert written[1].error is None
    assert written[1].text
    assert "user" in (written[2].error or "")


def test_a_batch_that_is_too_much_is_halved_and_only_the_row_that_fails_alone_fails() -> None:
    engine = tiny.engine("llama")
    talks = [*ASKED[:4], conversation([Message("user", "fatal")]), *ASKED[5:]]
    expected = engine.reply_many(talks, max_tokens=8)

    def limited(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        ids = named["input_ids"]
        if len(ids) > 2 or "fatal" in engine.tokenizer.decode(ids[0]):
            raise RuntimeError("out of memory")

    hook = engine.model.register_forward_pre_hook(limited, with_kwargs=True)
    written = engine.reply_many(talks, max_tokens=8)
    hook.remove()
    failed = [place for place, one in enumerate(written) if one.error]
    assert failed == [4]
    assert "out of memory" in (written[failed[0]].error or "")
    assert [one.text for place, one in enumerate(written) if place not in failed] == [
        one.text for place, one in enumerate(expected) if place not in failed
    ]


def test_the_seconds_of_the_rows_are_together_what_all_took(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine("llama")
    replies = [Message("assistant", "word " * n) for n in (1, 9, 3)]
    ticks: list[int] = []

    def tick() -> int:
        ticks.append(len(ticks))
        return ticks[-1]

    monkeypatch.setattr(batch.time, "perf_counter", tick)
    talks = [conversation([Message("user", str(n))], [{"function": {"name": str(n)}}]) for n in range(len(replies))]
    found = engine.reply_many(talks, max_tokens=50, constraint=PerRow(engine, replies))
    assert sum(one.seconds for one in found) == pytest.approx(ticks[-1] - ticks[0])
    assert found[0].seconds < found[2].seconds < found[1].seconds


def test_an_error_of_the_callers_own_is_not_taken_for_the_models() -> None:
    def full_disk(place: int, written: Written) -> None:
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError, match="no space"):
        tiny.engine("llama").reply_many(ASKED[:2], max_tokens=3, on_reply=full_disk)


def test_sampled_rows_follow_the_seed() -> None:
    engine = tiny.engine("llama")
    hot = [engine.reply_many(ASKED, max_tokens=8, sampling=Sampling(temperature=2.0, seed=seed)) for seed in (1, 1, 2)]
    texts = [[one.text for one in run] for run in hot]
    assert texts[0] == texts[1] != texts[2]


def test_nothing_asked() -> None:
    assert tiny.engine("llama").reply_many([]) == []
