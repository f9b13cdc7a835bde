"""The universe: it can be read, it is reproducible, and a bad file says where it is bad."""

import hashlib
import json
from collections import Counter
from itertools import islice
from random import Random

import pytest

from fcutils.dataset import row_faults
from fcutils.universe import UniverseError, conversations, corner, load, read_domain
from fcutils.universe.check import check
from fcutils.universe.files import read_yaml
from fcutils.universe.splits import FOLDER
from fcutils.universe.values import SPLITS, Lists, code, draw_date, drawer, say_list, say_number, split_of
from fcutils.universe.writer import Recipe


@pytest.fixture(scope="module")
def universe():
    return load()


def talks(universe, split, count, seed=5, **recipe):
    return list(islice(conversations(corner(universe, split), seed, Recipe(**recipe)), count))


def test_it_is_as_large_and_as_good_as_it_claims(universe):
    assert len(universe.domains) >= 36
    for domain in universe.domains.values():
        assert check(domain) == []
    near = [
        d for d in universe.domains.values() if any(n > 1 for f, n in Counter(t.family for t in d.tools.values()).items() if f)
    ]
    assert len(near) >= 12


def test_every_conversation_is_a_sound_row_but_for_calls_that_are_refused(universe):
    for split in SPLITS:
        for talk in talks(universe, split, 150):
            faults = [fault for fault in row_faults(talk) if not fault.startswith(_refused(talk))]
            assert faults == [], talk


def _refused(talk):
    return tuple(f"message {at}:" for at in talk.meta.get("refused", ()))


def test_the_same_seed_gives_the_same_bytes(universe):
    def digest(seed):
        text = "".join(json.dumps(talk.to_dict()) for talk in talks(universe, "train", 100, seed))
        return hashlib.sha256(text.encode()).hexdigest()

    assert digest(1) == digest(1) != digest(2)


def test_all_kinds_and_all_sizes_of_choice_occur(universe):
    found = talks(universe, "train", 600)
    kinds = Counter(kind for talk in found for kind in talk.meta["kinds"])
    assert set(kinds) == {"single", "parallel", "sequence", "nothing", "missing", "failing", "mending"}
    assert set(range(1, 11)) <= {len(talk.tools) for talk in found}
    parallel = [t for t in talks(universe, "train", 200, mix={"parallel": 1.0}, requests=(1, 1))]
    names = [[call.name for call in talk.messages[-2 - len(talk.meta["targets"])].calls] for talk in parallel]
    assert any(len(set(n)) == 1 and len(n) > 1 for n in names) and any(len(set(n)) > 1 for n in names)


@pytest.mark.parametrize("split", SPLITS)
def test_calls_at_once_are_at_least_two_and_all_different(universe, split):
    for talk in talks(universe, split, 400, mix={"parallel": 1.0}, requests=(1, 1)):
        calls = [(call.name, json.dumps(call.arguments)) for m in talk.messages for call in m.calls]
        assert len(calls) == len(set(calls)) >= 2, talk


def test_a_second_call_uses_what_the_first_gave(universe):
    used = 0
    for talk in talks(universe, "train", 60, mix={"sequence": 1.0}, requests=(1, 1)):
        _, second = (m for m in talk.messages if m.calls)
        result = next(m.content for m in talk.messages if m.role == "tool")
        request = next(m.content for m in talk.messages if m.role == "user")
        fresh = [
            v for v in second.calls[0].arguments.values() if str(v) not in request and json.dumps(v)[:-1].strip('"') in result
        ]
        used += bool(fresh)
    assert used >= 40


def test_made_up_names_leave_no_trace_of_the_real_ones(universe):
    for talk in talks(universe, "train", 100, modes={"made_up": 1.0}):
        offered = {tool["function"]["name"] for tool in talk.tools}
        refused = talk.meta.get("refused", ())
        assert {call.name for at, m in enumerate(talk.messages) if at not in refused for call in m.calls} <= offered
        assert not offered & {tool for domain in universe.domains.values() for tool in domain.tools}


def test_a_text_is_in_one_split_only_and_numbers_are_said_as_people_do():
    assert split_of("Wennberg") == split_of("wennberg")
    rng = Random(0)
    assert {say_number(3, rng) for _ in range(50)} == {"3", "three"}
    assert {say_number(1250, rng) for _ in range(50)} == {"1250", "1,250"}
    assert say_list(["a", "b", "c"]) == "a, b and c"
    value, said = draw_date(rng)
    assert value[:4] in said
    assert code("AB-##", rng)[:3] == "AB-"
    lists = Lists({"short": ["a", "b"], "long": [f"entry {i}" for i in range(60)]})
    for split in SPLITS:
        assert {lists.draw("short", rng, split)[0] for _ in range(20)} == {"a", "b"}
        assert all(split_of(lists.draw("long", rng, split)[0]) == split for _ in range(20))
    draw = drawer({"type": "array", "items": {"type": "integer", "range": [1, 90]}, "count": [2, 3]}, lists)
    assert all(len(values) == len(set(values)) for values, _ in (draw(rng, "train") for _ in range(30)))


GOOD = (FOLDER / "weather.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("type: string", "type strin", 1), "YAML|needs a `type`|parameters"),
        (lambda text: text.replace("    phrasings:", "    phrasing:", 1), "unknown key 'phrasing'"),
        (lambda text: text + "\n  - {", "YAML"),
        (lambda text: "domain: x\nabout: y\n", "needs `domain`"),
        (lambda text: text.replace("domain: weather", "domain: weather\nabout: twice", 1), "stands twice"),
    ],
)
def test_a_malformed_file_names_file_place_and_line(tmp_path, change, says):
    path = tmp_path / "weather.yaml"
    path.write_text(change(GOOD), encoding="utf-8")
    with pytest.raises(UniverseError, match=says) as error:
        read_domain(path, Lists(read_yaml(FOLDER / "values.yaml")))
    assert all(fault.path == path and fault.line >= 1 for fault in error.value.faults)


def test_one_bad_file_and_nothing_is_built(tmp_path):
    for path in FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "weather.yaml").write_text(GOOD.replace("{city}", "{town_hall_clock}", 1), encoding="utf-8")
    with pytest.raises(UniverseError, match=r"weather\.yaml:.*town_hall_clock"):
        load(tmp_path)


def test_brief_conversations_are_requests_and_first_replies():
    found = 0
    for talk in islice(conversations(corner(load(), "train"), 3, Recipe(requests=(3, 6), brief=True)), 30):
        roles = [message.role for message in talk.messages if message.role != "system"]
        if "mending" not in talk.meta["kinds"]:
            found += 1
            assert roles == ["user", "assistant"] * len(talk.meta["kinds"])
    assert found > 10
