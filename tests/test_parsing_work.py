"""Work grows with the text and no faster: counted in function calls, not in seconds (`benchmarks/parsing.py` times it)."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fcutils.parsing import ReplyStream, parse_reply
from fcutils.parsing.block import MAX_TRIES

GENERATORS = Path(__file__).parents[1] / "benchmarks" / "adversarial.py"
ADVERSARIAL: dict[str, Callable[[int], str]] = runpy.run_path(str(GENERATORS))["ADVERSARIAL"]


def work(do: Callable[[], object]) -> int:
    """How many functions are called, those of the interpreter's C code among them."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(before)
    return count


def stream(text: str, size: int) -> None:
    reply = ReplyStream(tools=["g"])
    for at in range(0, len(text), size):
        reply.feed(text[at : at + size])
    reply.close()


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_twice_the_text_is_twice_the_work(name: str) -> None:
    make = ADVERSARIAL[name]
    parse_reply(make(100))  # what is made once is made
    small, large = (work(lambda n=n: parse_reply(make(n), tools=["g"])) for n in (4_000, 8_000))
    assert large <= 2.3 * small + 100
    small, large = (work(lambda n=n: stream(make(n), 7)) for n in (2_000, 4_000))
    assert large <= 2.3 * small + 100


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_text_is_read_alike_whole_and_in_pieces(name: str) -> None:
    text = ADVERSARIAL[name](3_000)
    reply = ReplyStream(tools=["g"])
    for at in range(0, len(text), 7):
        reply.feed(text[at : at + 7])
    reply.close()
    assert reply.reply == parse_reply(text, tools=["g"])


def test_a_piece_of_a_long_argument_costs_the_same_early_and_late() -> None:
    reply = ReplyStream()
    reply.feed('<tool_call>{"name": "write", "arguments": {"text": "')
    early = [work(lambda: reply.feed("abcd")) for _ in range(50)]
    for _ in range(20_000):
        reply.feed("abcd")
    late = [work(lambda: reply.feed("abcd")) for _ in range(50)]
    assert set(late) == set(early)


def test_there_are_enough_generators_to_mean_something() -> None:
    assert len(ADVERSARIAL) >= 25
    assert all(abs(len(make(5_000)) - 5_000) < 60 for make in ADVERSARIAL.values())
    assert MAX_TRIES >= 10_000
