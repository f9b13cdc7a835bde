"""toolbox.py: what can be registered, and which calls run. Where they run: `test_toolbox_running.py`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, Field, field_validator

from fcutils.messages import Observation, ToolCall
from fcutils.schema import SchemaError, SchemaWarning
from fcutils.toolbox import Toolbox, ToolboxError

AMPLE = 60.0  # seconds, for what is expected to end by itself on a busy machine

pytestmark = pytest.mark.filterwarnings("ignore::fcutils.schema.SchemaWarning")


def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: one
        b: the other
    """
    return a + b


class Joke(BaseModel):
    """A joke."""

    setup: str = Field(description="the question")
    punchline: str = Field("…", description="the answer")

    @field_validator("setup")
    @classmethod
    def asks(cls, value: str) -> str:
        if not value.endswith("?"):
            raise ValueError("it has to end with a question mark")
        return value


def box_of(*functions: Callable[..., Any], **options: Any) -> Toolbox:
    box = Toolbox(**options)
    for function in functions:
        box.add(function)
    return box


def calls(name: str, *values: Any) -> list[ToolCall]:
    return [ToolCall(name, {"a": value}, id=f"c{number}") for number, value in enumerate(values)]


# ---- registering -----------------------------------------------------------------------------------------------


def test_register_and_call() -> None:
    box = Toolbox()

    @box.tool
    def double(n: int) -> int:
        """Double."""
        return 2 * n

    @box.tool(name="triple", timeout=AMPLE)
    def three_times(n: int) -> int:
        """Triple."""
        return 3 * n

    assert double(4) == 8  # the function stays what it was
    assert (len(box), box.names) == (2, ("double", "triple"))
    assert [tool["function"]["name"] for tool in box.tools] == ["double", "triple"]
    observation = box.call(ToolCall("double", {"n": 4}, id="c1"))
    assert observation == Observation(8, "ok", "double", "c1", observation.seconds)
    assert observation.seconds > 0
    assert box.call(ToolCall("triple", {"n": 4})).content == 12


def test_schemas_that_are_given_out_are_copies() -> None:
    box = box_of(add)
    box.tools[0]["function"]["parameters"]["properties"].clear()
    assert list(box.tools[0]["function"]["parameters"]["properties"]) == ["a", "b"]


def test_any_mapping_will_do_for_arguments() -> None:
    box = box_of(add)
    kinds = [box.call(ToolCall("add", MappingProxyType({"a": 1}))).kind for _ in range(4)]
    assert kinds == ["ok", "ok", "ok", "repeated"]


def test_a_model_is_a_tool_too() -> None:
    box = box_of(Joke)
    assert box.call(ToolCall("Joke", {"setup": "Why?"})).content == {"setup": "Why?", "punchline": "…"}
    refused = box.call(ToolCall("Joke", {"setup": "Well."}))
    assert refused.kind == "invalid_arguments"
    assert refused.content == "Argument 'setup' is \"Well.\": it has to end with a question mark."


def test_every_call_that_fits_the_schema_runs() -> None:
    box = box_of(add)
    for arguments in ({"a": 1}, {"a": 1, "b": 2}, {"b": 2}, {"a": "1"}):
        fits = jsonschema.Draft202012Validator(box.tools[0]["function"]["parameters"]).is_valid(arguments)
        assert box.call(ToolCall("add", arguments)).ok == fits


def generator(n: int):  # type: ignore[no-untyped-def]
    yield n


def test_what_cannot_be_registered_says_why() -> None:
    connection = sqlite3.connect(":memory:")
    box = box_of(add)
    for function, options, words in [
        (add, {}, "there is a tool 'add' already"),
        (generator, {}, "return a list"),
        (lambda: connection, {"name": "held", "timeout": 1}, "cannot be sent there"),
        (Joke, {"timeout": 0}, "above zero"),
        (Joke, {"timeout": float("inf")}, "above zero"),
        (Joke, {"max_output": 10}, "at least 200"),
    ]:
        with pytest.raises(ToolboxError, match=words):
            box.add(function, **options)
    with pytest.raises(SchemaError, match="cannot be a tool's name"):
        box.add(add, name="a b")
    assert box.names == ("add",)
    connection.close()


def test_a_missing_description_is_a_warning() -> None:
    with pytest.warns(SchemaWarning, match="no description"):
        Toolbox().add(lambda x: x, name="bare")


def test_toolboxes_merge() -> None:
    asked: list[str] = []
    left, right = box_of(add), box_of(Joke, on_approve=lambda call: asked.append(call.name) or True)
    right.add(lambda: "done", name="pay", approve=True)
    both = left | right
    assert both.names == ("add", "Joke", "pay")
    assert both.call(ToolCall("pay")).content == "done"
    assert asked == ["pay"]
    assert (len(left), len(right)) == (1, 2)
    with pytest.raises(ToolboxError, match="both toolboxes have add"):
        _ = left | box_of(add)


# ---- calls that do not run -------------------------------------------------------------------------------------


def test_an_unknown_tool() -> None:
    observation = box_of(add, Joke).call(ToolCall("ad", {"a": 1}, id="x"))
    assert (observation.kind, observation.name, observation.call_id) == ("unknown_tool", "ad", "x")
    assert observation.content == "There is no tool 'ad'; did you mean 'add'?"


def test_the_same_call_again_and_again() -> None:
    ran: list[int] = []
    box = Toolbox(max_repeats=2)
    box.add(lambda a: ran.append(a), name="f")

    def kinds(*values: Any) -> list[str]:
        return [box.call(call).kind for call in calls("f", *values)]

    assert kinds(1, 1, 1, 1) == ["ok", "ok", "repeated", "repeated"]
    assert kinds(2, 1, 1) == ["ok", "ok", "ok"]
    assert kinds(1) == ["repeated"]
    box.reset()
    assert kinds(1) == ["ok"]
    assert kinds(True, 1.0) == ["ok", "ok"]  # not the same call as 1
    assert len(ran) == 8


def test_the_order_of_arguments_makes_no_new_call() -> None:
    box = box_of(add)
    for arguments in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2}):
        assert box.call(ToolCall("add", arguments)).ok
    assert box.call(ToolCall("add", {"b": 2, "a": 1})).kind == "repeated"


def test_a_wrong_call_repeated_is_repeated_too() -> None:
    kinds = [box.kind for box in box_of(add).call_all([ToolCall("nope")] * 5)]
    assert kinds == ["unknown_tool"] * 3 + ["repeated"] * 2


# ---- approval --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (True, "ok", "paid"),
        (False, "refused", "Not approved."),
        (None, "refused", "Not approved."),
        (1, "refused", "Not approved."),
        ("too much", "refused", "Not approved: too much."),
        ("", "refused", "Not approved: ."),
    ],
)
def test_nothing_but_true_is_a_yes(answer: Any, kind: str, words: str) -> None:
    async def later(call: ToolCall) -> Any:
        await asyncio.sleep(0)
        return answer

    for approver in (lambda call: answer, later):
        box, own = Toolbox(on_approve=approver), Toolbox()
        box.add(lambda: "paid", name="pay", approve=True)
        own.add(lambda: "paid", name="pay", approve=approver)
        for toolbox in (box, own):
            for observation in (toolbox.call(ToolCall("pay")), asyncio.run(toolbox.acall(ToolCall("pay")))):
                assert (observation.kind, observation.content) == (kind, words)


def test_nobody_to_ask_and_a_question_that_breaks() -> None:
    def broken(call: ToolCall) -> bool:
        raise ValueError("no terminal")

    box = Toolbox()
    box.add(lambda: "paid", name="pay", approve=True)
    box.add(lambda: "paid", name="buy", approve=broken)
    assert box.call(ToolCall("pay")).content == "Not approved: there is nobody to ask."
    assert box.call(ToolCall("buy")).content == "Not approved: ValueError: no terminal."
    assert asyncio.run(box.acall(ToolCall("buy"))).kind == "refused"


def test_nobody_is_asked_about_a_call_that_cannot_run() -> None:
    asked: list[ToolCall] = []
    box = Toolbox(on_approve=lambda call: asked.append(call) or True)
    box.add(add, approve=True)
    assert box.call(ToolCall("add", {"a": "x"})).kind == "invalid_arguments"
    assert asked == []
    assert box.call(ToolCall("add", {"a": 1})).content == 2
    assert [call.arguments for call in asked] == [{"a": 1}]


def test_what_was_approved_is_what_runs() -> None:
    def sly(call: ToolCall) -> bool:
        call.arguments["a"] = 1_000_000  # type: ignore[index]
        return True

    box = Toolbox()
    box.add(add, approve=sly)
    assert box.call(ToolCall("add", {"a": 1})).content == 2


def test_ctrl_c_at_the_question_gets_through() -> None:
    def interrupted(call: ToolCall) -> bool:
        raise KeyboardInterrupt

    box = Toolbox()
    box.add(add, approve=interrupted)
    for _ in range(2):  # and leaves nothing locked
        with pytest.raises(KeyboardInterrupt):
            box.call(ToolCall("add", {"a": 1}))
