"""The house conventions: rows are right by their own rules, the splits share nothing, and the universe knows none of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from fcutils import house
from fcutils.dataset import read_rows, row_faults
from fcutils.evaluate import asks_of
from fcutils.house import broken, right, rows, worked_out
from fcutils.messages import Message, ToolCall


@pytest.fixture(scope="module")
def splits():
    return {split: rows(split) for split in ("train", "test")}


def test_the_files_are_what_the_writer_makes(splits) -> None:
    for split, made in splits.items():
        assert read_rows(house.HOUSE / f"{split}.jsonl") == made
        assert len(made) == house.SIZES[split]
        shares = Counter(row.meta["category"] for row in made)
        assert len(shares) == 5 and set(shares.values()) == {len(made) // 5}


def test_every_row_fits_its_schemas_and_can_be_scored(splits) -> None:
    for row in (row for made in splits.values() for row in made):
        assert list(row_faults(row)) == []
        assert len(row.tools) == 4
        asks = asks_of(row, 1)
        assert [ask.kind for ask in asks] == ["call", "answer"] and asks[0].group == row.meta["category"]


def test_gold_keeps_the_conventions_and_what_was_said_alone_does_not(splits) -> None:
    """What a model would do that only reads the schema: copy what the user said."""
    for row in splits["test"]:
        gold = row.messages[1].calls[0]
        assert broken(gold, row) == ""
        assert "room is not asked for" in broken(ToolCall(gold.name, {**gold.arguments, "room": "3"}), row)
        facts = row.meta["facts"]
        said = {"code": facts.get("matter"), "amount": float(facts.get("euros", 0)), "weight": facts.get("kilos")}
        said |= {"centre": facts.get("team"), "zone": facts.get("place")}
        naive = {key: said.get(key, value) for key, value in gold.arguments.items()}
        assert "instead of" in broken(ToolCall(gold.name, naive), row)


def test_policy_decides_between_two_tools_that_are_both_on_offer(splits) -> None:
    for row in splits["train"] + splits["test"]:
        rival = house._rival(row.messages[1].calls[0].name)
        if rival:
            assert rival in [tool["function"]["name"] for tool in row.tools]
            other = replace(row.messages[1].calls[0], name=rival)
            assert broken(other, row).startswith(f"{rival} instead of")
    names = Counter(row.messages[1].calls[0].name for row in splits["test"])
    assert min(names[name] for name in ("goods_order", "purchase_request", "badge_issue", "badge_lend")) >= 3


@pytest.mark.parametrize(
    ("name", "facts", "call"),
    [
        ("ticket codes", {"matter": "the lift is stuck", "urgency": "it can wait"}, ("office_ticket", {"code": "FM-3"})),
        ("cents", {"order": "4711", "euros": "12.05"}, ("refund_pay", {"amount": 1205})),
        ("grams", {"city": "Oslo", "kilos": 3}, ("parcel_book", {"weight": 3000})),
        ("purchases", {"item": "a desk", "team": "sales", "price": 999}, ("goods_order", {"centre": "K52"})),
        ("purchases", {"item": "a desk", "team": "sales", "price": 1000}, ("purchase_request", {"centre": "K52"})),
        ("badges", {"person": "G123", "place": "archive"}, ("badge_lend", {"zone": "Z6"})),
        ("badges", {"person": "E123", "place": "archive"}, ("badge_issue", {"zone": "Z6"})),
    ],
)
def test_the_rules_by_hand(name: str, facts: dict[str, object], call: tuple[str, dict[str, object]]) -> None:
    found = right(name, facts)
    assert found.name == call[0] and found.arguments.items() >= call[1].items()
    assert set(worked_out(name, facts).values()) & {*call[1].values(), call[0]}


def test_no_schema_says_a_convention(splits) -> None:
    tables = house.conventions()["tables"]
    secrets = [*tables["centre"], *tables["zone"], *(f"{key}-1" for key in tables["department"]), "cent", "gram", "1000"]
    for row in splits["test"]:
        told = str([tool["function"] for tool in row.tools]).replace("Cost centre", "").replace("'centre'", "")
        assert not [secret for secret in secrets if secret in told]


def test_the_splits_share_no_sentence_and_no_values(splits) -> None:
    told = house.conventions()["conventions"]
    for convention in told.values():
        assert not set(convention["train"]) & set(convention["test"])
    facts = {split: {str(row.meta["facts"]) for row in made} for split, made in splits.items()}
    assert not facts["train"] & facts["test"]
    said = {split: {row.messages[0].content for row in made} for split, made in splits.items()}
    assert not said["train"] & said["test"] and len(said["test"]) == 60


def test_the_universe_knows_none_of_these_tools() -> None:
    from fcutils.universe import load

    known = {tool for domain in load().domains.values() for tool in domain.tools}
    assert not known & set(house.conventions()["tools"])


def test_a_message_in_a_row_is_a_whole_sentence(splits) -> None:
    for row in splits["train"] + splits["test"]:
        for message in row.messages:
            if message.role != "tool":
                assert "{" not in message.content + message.thought
                assert isinstance(message, Message) and message.content[:1] == message.content[:1].upper()
