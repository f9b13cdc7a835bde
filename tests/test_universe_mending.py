"""Calls that are refused and mended: every fault is real, and the words are those of a real toolbox over the same tools."""

from __future__ import annotations

import datetime
import json
from itertools import islice
from random import Random
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, create_model

from fcutils.dataset import row_faults
from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox
from fcutils.universe import Recipe, conversations, corner, load
from fcutils.universe.mending import FAULTS, complaint, refused

ONLY = Recipe(mix={"mending": 1.0}, requests=(1, 3))
COUNT = 120
PLAIN = {"string": str, "integer": int, "number": float, "boolean": bool}
FORMATS = {"date": datetime.date, "time": datetime.time, "date-time": datetime.datetime}


@pytest.fixture(scope="module")
def talks():
    return list(islice(conversations(corner(load(), "train"), 8, ONLY), COUNT))


def real_box(tools) -> Toolbox:
    """The tools of a conversation as Pydantic models, registered."""
    box = Toolbox()
    for tool in tools:
        name = tool["function"]["name"]
        model = model_of(name.replace(".", "_"), tool["function"]["parameters"])
        # A name with a dot is no name for OpenAI, and so for no toolbox; what is said of one must still be the same.
        box.add(model, name=name.replace(".", "_"))
    return box


def model_of(name: str, parameters: dict[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for key, spec in parameters["properties"].items():
        kind = type_of(key, spec)
        fields[key] = (kind, ...) if key in parameters.get("required", ()) else (kind, None)
    return create_model(name, __config__=ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=()), **fields)


def type_of(name: str, spec: dict[str, Any]) -> Any:
    if "enum" in spec:
        return Literal[tuple(spec["enum"])]
    if spec["type"] == "array":
        return list[type_of(name, spec["items"])]
    if spec["type"] == "object":
        return model_of(name, spec)
    return FORMATS.get(spec.get("format", ""), PLAIN[spec["type"]])


@pytest.mark.filterwarnings("ignore")
def test_the_words_are_those_of_a_real_toolbox(talks):
    compared = 0
    for talk in talks:
        if any("." in tool["function"]["name"] for tool in talk.tools):
            continue
        box = real_box(talk.tools)
        for at in talk.meta["refused"]:
            assert talk.messages[at + 1].content == box.call(talk.messages[at].calls[0]).text
            assert talk.messages[at + 1].name == talk.messages[at].calls[0].name
            compared += 1
    assert compared > COUNT / 2


def test_the_refused_call_alone_is_at_fault_and_the_next_one_mends_it(talks):
    for talk in talks:
        assert len(talk.meta["refused"]) == len(talk.meta["kinds"])
        faulty = {int(fault.split()[1].rstrip(":")) for fault in row_faults(talk) if fault.startswith("message")}
        formats = any(spec.get("format") for t in talk.tools for spec in t["function"]["parameters"]["properties"].values())
        assert faulty <= set(talk.meta["refused"]) and (formats or faulty == set(talk.meta["refused"]))
        for at in talk.meta["refused"]:
            bad, mended = talk.messages[at].calls[0], talk.messages[at + 2].calls[0]
            assert (bad.name, bad.arguments) != (mended.name, mended.arguments)
            assert complaint(mended, talk.tools) is None and complaint(bad, talk.tools) is not None
            assert json.loads(talk.messages[at + 3].content) is not None


def test_every_fault_occurs_and_a_sound_call_raises_no_complaint():
    parameters = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "day": {"type": "string", "format": "date"},
            "units": {"enum": ["celsius", "kelvin"]},
        },
        "required": ["city", "day"],
    }
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": parameters}}]
    call = ToolCall("look_up", {"city": "Oslo", "day": "2026-03-14", "units": "kelvin"})
    assert complaint(call, tools) is None
    said = [refused(call, tools, Random(seed))[1].content for seed in range(200)]
    for words in (
        "There is no tool",
        "There is no argument",
        "must be given",
        "valid string",
        "valid date",
        "'celsius' or 'kelvin'",
    ):
        assert any(words in one for one in said), words
    assert len(FAULTS) == 6
