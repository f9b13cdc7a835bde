"""What is tested was never trained on: the rule for each pair of splits, and the proof, over the universe, the training
stream, and all that the pocket models read.

1. A tool of `unseen_tools` or `unseen_domains` is never offered, and never called, in training or validation.
2. A sentence (also of vague requests, chains, and requests beyond the tools) stands in one split only, and none is nearly the
   same as one of another split.
3. Free text values that users say stand in one split only. Exempt is what is knowledge or closed: short lists, lists that say
   their values in other words, enums, numbers, dates, and the records of the recommending domain. So is what a second call
   takes from the first result: some results say one of a few fixed things.
"""

import json
import re
from itertools import combinations, islice
from random import Random

import pytest

from fcutils.dataset import DATA
from fcutils.pocket import documents, formats, prose
from fcutils.pocket.corpora import CORPORA
from fcutils.universe import Recipe, conversations, corner, load
from fcutils.universe.near import near_pairs
from fcutils.universe.values import SPLITS

STREAM = 1500


@pytest.fixture(scope="module")
def corners():
    return {split: corner(load(), split) for split in SPLITS}


def sentences(where):
    said = [p.text for t in where.everything for p in (*t.phrasings, *t.vague)]
    said += [p.text for chains in where.chains.values() for _, says in chains for p in says]
    return said + [text for texts in where.beyond.values() for text in texts] + list(where.talk["off_topic"])


def test_unseen_tools_are_offered_in_their_split_alone(corners):
    universe = load()
    for split in ("test", "validation"):
        held = {t.tool.name for t in corners[split].everything if universe.tool_home(t.tool) == split}
        assert len(held) > 40
        for other in set(SPLITS) - {split}:
            offered = {tool.name for tools in corners[other].offered.values() for tool in tools}
            chained = {step["tool"] for chains in corners[other].chains.values() for chain, _ in chains for step in chain.steps}
            assert not held & (offered | chained)


@pytest.mark.parametrize(("one", "other"), [("validation", "train"), ("test", "train"), ("test", "validation")])
def test_no_sentence_stands_in_two_splits_or_nearly(corners, one, other):
    assert list(near_pairs(sentences(corners[one]), sentences(corners[other]))) == []


def free_texts(where):
    """Texts in calls that were drawn from an open list."""
    for talk in islice(conversations(where, 11, Recipe(modes={"own": 1.0})), STREAM):
        domain = where.domains[talk.meta["domain"]]
        said = " ".join(message.content for message in talk.messages if message.role == "user").lower()
        sound = [message for at, message in enumerate(talk.messages) if at not in talk.meta.get("refused", ())]
        for call in (call for message in sound for call in message.calls):
            tool = domain.tools[call.name]
            for name, value in call.arguments.items():
                drawn_from = tool.parameters[name].get("from")
                drawn = isinstance(value, str) and isinstance(drawn_from, str) and not tool.record and value.lower() in said
                if drawn and not domain.lists.closed(drawn_from):
                    yield value


def test_free_text_values_stand_in_one_split_only(corners):
    seen = {split: set(free_texts(corners[split])) for split in SPLITS}
    assert all(len(values) > 300 for values in seen.values())
    for one, other in combinations(SPLITS, 2):
        assert not seen[one] & seen[other]


def requests(path):
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield from (m["content"] for m in json.loads(line)["messages"] if m["role"] == "user")


def test_no_request_of_the_tests_is_in_the_stream_or_in_the_training_rows(corners):
    trained = set(requests(DATA / "train.jsonl")) | {
        m.content for talk in islice(conversations(corners["train"], 3), STREAM) for m in talk.messages if m.role == "user"
    }
    for path in sorted(DATA.glob("test_*.jsonl")):
        shared = set(requests(path)) & trained
        assert not shared, f"{path.name}: {sorted(shared)[:3]}"


def pocket_texts(name, where, count):
    """What a pocket model reads, as text."""
    recipe = Recipe()
    if name == "documents":
        return [text for text, _ in islice(documents.documents(where, 9), count)]
    if name == "prose":
        found = islice(prose.talks(where, 9, recipe), count)
        return ["".join(piece.text for piece in dialect.render(talk)) for talk, dialect, _ in found]
    return [
        "".join(piece.text for piece in formats.dialect_for(Random(number)).render(talk))
        for number, talk in enumerate(islice(conversations(where, 9), count))
    ]


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_the_pocket_models_read_nothing_of_the_tests(corners, name):
    universe = load()
    texts = pocket_texts(name, corners["train"], 600)
    whole = "\n".join(texts)
    held = [tool.name for domain in universe.domains.values() for tool in domain.tools.values()]
    held = [tool for tool in held if tool not in {t.name for tools in corners["train"].offered.values() for t in tools}]
    assert len(held) > 100
    offered = set(re.findall(r'"name": "([^"]+)"', whole))
    assert not set(held) & offered
    asked = {request for path in sorted(DATA.glob("test_*.jsonl")) for request in requests(path)}
    shared = [request for request in asked if len(request) > 20 and request in whole]
    assert len(asked) > 1000 and not shared, shared[:3]
