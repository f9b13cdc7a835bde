"""Drills can be done by reading alone, and nothing else helps."""

import json
import re
from itertools import islice, pairwise
from random import Random

import pytest
from transformers import AutoTokenizer

from fcutils.pocket.drill import RESERVED, drill, drills, in_prose
from fcutils.pocket.strings import HARD, WORDS, strings
from fcutils.pocket.train import Plan, State, Stream
from fcutils.universe import corner, load
from fcutils.universe.disguise import words_of

POOL = tuple(f"{a}{b}{c}" for a in ("lan", "mor", "tib", "ses") for b in "aeiou" for c in ("dra", "kel", "nox", "ph", "rist"))
DECLINES = ["No tool here does that."]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained("assets/models/pocket-hermes")


def heard(text):
    return {word.lower() for word in re.findall(r"[A-Za-z]+", text)} - RESERVED


def turns(talk):
    return list(zip(talk.messages[0::2], talk.messages[1::2], strict=True))


@pytest.mark.parametrize("bare", [False, True])
def test_who_counts_shared_words_knows_every_tool_and_when_there_is_none(bare):
    for seed in range(60):
        talk = drill(DECLINES, POOL, Random(seed), bare)
        functions = {tool["function"]["name"]: tool["function"] for tool in talk.tools}
        texts = {
            name: heard(function["description"]) | set(words_of(name.replace(".", "_"))) for name, function in functions.items()
        }
        assert len(functions) == len(talk.tools)
        for (user, reply), kind in zip(turns(talk), talk.meta["kinds"], strict=True):
            shared = {name: len(heard(user.content) & text) for name, text in texts.items()}
            if kind == "nothing":
                assert not any(shared.values()) and not reply.calls and reply.content in DECLINES
            for call in reply.calls:
                assert shared[call.name]
            if len(reply.calls) == 1:
                assert max(shared, key=shared.get) == reply.calls[0].name


def test_every_value_stands_in_the_request_and_what_is_required_is_given_or_asked_for():
    asked_for = 0
    for seed in range(120):
        talk = drill(DECLINES, POOL, Random(seed))
        functions = {tool["function"]["name"]: tool["function"]["parameters"] for tool in talk.tools}
        for user, reply in turns(talk):
            asked_for += not reply.calls and reply.content not in DECLINES
            for call in reply.calls:
                assert (
                    set(functions[call.name].get("required", ()))
                    <= set(call.arguments)
                    <= set(functions[call.name]["properties"])
                )
                assert all(
                    (value if isinstance(value, str) else json.dumps(value)) in user.content
                    for value in call.arguments.values()
                )
    assert asked_for


def test_the_name_that_is_asked_for_is_the_one_whose_words_are_said(tokenizer):
    """Each word of a question votes for the name that stands before it in the list; what all questions hold does not."""
    right = count = 0
    for example in islice(strings(tokenizer, Random(0)), 40):
        ids = example.ids
        starts = [at for at, weight in enumerate(example.weights) if weight == 1.0]
        listed, names = ids[: starts[0]], {ids[at] for at in starts}
        questions = [[ids[i] for i in range(before, at) if not example.weights[i]] for before, at in pairwise(starts)]
        frame = set.intersection(*map(set, questions))
        for question, at in zip(questions, starts[1:], strict=True):
            said = {token for token in question if token >= WORDS} - frame - names
            places = [place for place, token in enumerate(listed) if token in said]
            nearest = [next((token for token in reversed(listed[:place]) if token in names), None) for place in places]
            count += 1
            right += bool(nearest) and max(nearest, key=nearest.count) == ids[at]
    assert count > 300 and right / count > 0.95


def test_a_run_begins_with_easy_strings_where_something_is_to_be_chosen(tokenizer):
    def phases(corpus, name):
        words = AutoTokenizer.from_pretrained(f"assets/models/{name}")
        stream = Stream(corner(load(), "train"), words, Plan(name, 1, corpus=corpus, strings=0.1, short=0.3, budget=1024))
        return [stream.phase for share in (0.0, 0.05, 0.2, 0.4) if stream.next(State(), share).tokens]

    assert phases("calls", "pocket-hermes") == ["easy", "strings", "short", "full"]
    assert phases("documents", "pocket-gemma") == ["short", "short", "short", "full"]
    lengths = [[len(e.ids) for e in islice(strings(tokenizer, Random(1), hard=hard), 60)] for hard in (0.0, HARD)]
    assert sum(lengths[0]) * 1.5 < sum(lengths[1])


def test_in_prose_no_call_is_written_and_every_setting_is_said():
    tokenizer = AutoTokenizer.from_pretrained("assets/models/pocket-gemma")
    talks = [
        (tokenizer.decode(e.ids), tokenizer.decode([i for i, weight in zip(e.ids, e.weights, strict=True) if weight]))
        for e in islice(in_prose(corner(load(), "train"), tokenizer, Random(2)), 8)
    ]
    assert all("I would use " in learnt and "tool_call" not in whole for whole, learnt in talks)
    assert sum(" set to " in learnt for _, learnt in talks) > 1


def test_drills_are_reproducible_and_of_many_formats(tokenizer):
    where = corner(load(), "train")
    one, other = ([example.ids for example in islice(drills(where, tokenizer, Random(5)), 12)] for _ in range(2))
    assert one == other != [example.ids for example in islice(drills(where, tokenizer, Random(6)), 12)]
    beginnings = {tokenizer.decode(ids[:20]) for ids in one}
    assert len(beginnings) > 3
