"""evaluate/bfcl.py: the benchmark's layout, on rows written here; none of its own data is in this repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted, call, say

from fcutils.evaluate import DataError, evaluate
from fcutils.evaluate.bfcl import read_bfcl
from fcutils.evaluate.rows import asks_of
from fcutils.messages import Conversation, Message, ToolCall

AREA = {
    "name": "geometry.area",
    "description": "Area of a triangle.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "float", "description": "base"},
            "height": {"type": "integer"},
            "unit": {"type": "string"},
            "corners": {"type": "tuple", "items": {"type": "float"}},
            "style": {"type": "dict", "properties": {"line": {"type": "float"}, "colour": {"type": "string"}}},
            "note": {"type": "any"},
        },
        "required": ["base", "height"],
    },
}
SING = {"name": "sing", "description": "Sing.", "parameters": {"type": "dict", "properties": {}, "required": []}}


def question(number: int, category: str, text: str, *functions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": f"{category}_{number}",
        "question": [[{"role": "user", "content": text}]],
        "function": list(functions),
        **more,
    }


def answer(number: int, category: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"{category}_{number}", "ground_truth": list(calls)}


def write(folder: Path, name: str, questions: list[Any], answers: list[Any] | None = None) -> None:
    def lines(rows: list[Any]) -> str:
        return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)

    (folder / name).write_text(lines(questions))
    if answers is not None:
        (folder / "possible_answer").mkdir(exist_ok=True)
        (folder / "possible_answer" / name).write_text(lines(answers))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given = {"base": [10.0], "height": [5], "unit": ["cm", ""], "note": ["x", 1, ""]}
    write(
        tmp_path,
        "BFCL_v3_simple.json",
        [question(0, "simple", "Area of 10 by 5?", AREA), question(1, "simple", "And of 3 by 4, thin?", AREA, SING)],
        [
            answer(0, "simple", {"geometry.area": given}),
            answer(
                1, "simple", {"geometry.area": {"base": [3], "height": [4], "style": [{"line": [0.5], "colour": ["red", ""]}]}}
            ),
        ],
    )
    write(
        tmp_path,
        "BFCL_v3_parallel.json",
        [question(0, "parallel", "1 by 2 and 3 by 4?", AREA)],
        [
            answer(
                0,
                "parallel",
                *({"geometry.area": {"base": [b], "height": [h], "corners": [[b, h], ""]}} for b, h in ((1, 2), (3, 4))),
            )
        ],
    )
    write(tmp_path, "BFCL_v3_irrelevance.json", [question(0, "irrelevance", "Who are you?", SING)])
    return tmp_path


def area(**arguments: Any) -> ToolCall:
    return ToolCall("geometry.area", arguments)


def test_the_layout_becomes_rows_with_json_schemas(folder: Path) -> None:
    found = read_bfcl(folder)
    assert not found.left_out and len(found.rows) == 4
    simple = next(row for row in found.rows if row.meta["id"] == "simple_0")
    schema = simple.tools[0]["function"]["parameters"]
    assert schema["type"] == "object"
    assert [one.get("type") for one in schema["properties"].values()] == [
        "number",
        "integer",
        "string",
        "array",
        "object",
        None,
    ]
    assert schema["properties"]["corners"]["items"] == {"type": "number"}
    assert schema["properties"]["style"]["properties"]["line"] == {"type": "number"}
    assert simple.messages[1].calls == (area(base=10.0, height=5, unit="cm", note="x"),)
    kinds = {row.meta["id"]: asks_of(row, 1)[0].kind for row in found.rows}
    assert kinds == {"simple_0": "call", "simple_1": "call", "parallel_0": "call", "irrelevance_0": "nothing"}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (area(base=10, height=5), True),  # an integer for a float; what may be left out is left out
        (area(base=10.0, height=5, unit="C.M.", note=1), True),
        (area(base=10.0, height=5.0), False),
        (area(base="10", height=5), False),
        (area(base=10, height=5, note=2), False),
        (area(base=10, height=5, corners=[1.0]), False),
        (area(base=10), False),
        (ToolCall("geometry_area", {"base": 10, "height": 5}), True),  # where a server allows no dots
        (ToolCall("area", {"base": 10, "height": 5}), False),
    ],
)
def test_the_published_rules_hold(folder: Path, said: ToolCall, right: bool) -> None:
    rows = [row for row in read_bfcl(folder).rows if row.meta["id"] == "simple_0"]
    report = evaluate(Scripted(lambda talk: say(Message("assistant", calls=(said,)))), rows, progress=False)
    assert report.scores["whole call"].hits == right


@pytest.mark.parametrize(
    ("style", "right"),
    [
        ({"line": 0.5}, True),
        ({"line": 0.5, "colour": "RED"}, True),
        ({"line": 1}, False),
        ({}, False),
        ({"line": 0.5, "x": 1}, False),
    ],
)
def test_nested_objects_have_acceptable_answers_by_key(folder: Path, style: dict[str, Any], right: bool) -> None:
    rows = [row for row in read_bfcl(folder).rows if row.meta["id"] == "simple_1"]
    said = call("geometry.area", base=3, height=4, style=style)
    assert evaluate(Scripted(lambda talk: said), rows, progress=False).scores["whole call"].hits == right


def test_categories_are_scored_apart(folder: Path) -> None:
    def script(talk: Conversation) -> str:
        if "Who" in talk.messages[-1].content:
            return "A model."
        both = (area(base=3, height=4), area(base=1, height=2, corners=[1, 2]))
        return say(Message("assistant", calls=both if "and" in talk.messages[-1].content else both[:1]))

    report = evaluate(Scripted(script), read_bfcl(folder).rows, progress=False)
    assert {name: (group.get("whole call") or group["holds back"]).share for name, group in report.groups.items()} == {
        "irrelevance": 1.0,
        "parallel": 1.0,
        "simple": 0.0,
    }
    assert "| parallel | 100.0%" in report.markdown()


def test_what_is_left_out_is_said_with_the_reason(folder: Path) -> None:
    java = {**AREA, "parameters": {"type": "dict", "properties": {"m": {"type": "HashMap"}}, "required": ["m"]}}
    turns = question(0, "multi", "a", AREA) | {
        "question": [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]]
    }
    later = {name: value for name, value in question(1, "multi", "a").items() if name != "function"}
    write(folder, "BFCL_v3_java.json", [question(0, "java", "a", java)], [answer(0, "java", {"geometry.area": {"m": ["{}"]}})])
    write(folder, "BFCL_v3_multi.json", [turns, later], [])
    write(folder, "BFCL_v3_live_relevance.json", [question(0, "relevance", "a", AREA)])
    write(folder, "BFCL_v3_odd.json", [question(0, "odd", "a", AREA)], [answer(0, "odd", {"sing": {}})])
    write(folder, "BFCL_v3_empty.json", [question(0, "empty", "a", AREA)], [answer(0, "empty", {})])
    write(folder, "BFCL_v3_deep.json", ["[" * 100_000], [])
    write(folder, "readme.json", ["this is", "something else"])
    found = read_bfcl(folder)
    assert len(found.rows) == 4
    reasons = {file: why for file, why in found.left_out}
    assert "another language" in reasons["BFCL_v3_java.json"]
    assert {why for file, why in found.left_out if "multi" in file} == {"several turns", "no 'function'"}
    assert reasons["BFCL_v3_live_relevance.json"] == "no acceptable answers"
    assert "not among the tools" in reasons["BFCL_v3_odd.json"]
    assert reasons["BFCL_v3_empty.json"] == "an acceptable answer without a call"
    assert "not in this layout" in reasons["readme.json"] and "not in this layout" in reasons["BFCL_v3_deep.json"]
    assert "left out of BFCL_v3_java.json: 1" in str(found)


def test_the_limit_is_for_each_file_and_older_files_are_read_too(folder: Path) -> None:
    write(
        folder,
        "old.json",
        [{"id": 7, "question": "1 by 2?", "function": AREA}],
        [{"id": 7, "ground_truth": {"geometry.area": {"base": [1], "height": [2]}}}],
    )
    assert len(read_bfcl(folder, limit=1).rows) == 4
    assert [row.messages[0].content for row in read_bfcl(folder).rows if row.meta["category"] == "old"] == ["1 by 2?"]


def test_a_folder_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1, 2]")
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="no row could be read"):
            read_bfcl(place)
