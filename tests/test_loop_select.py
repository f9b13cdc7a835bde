"""Many tools: what the model sees of them, why, and what that saves."""

from __future__ import annotations

from typing import Any

import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_samples import in_agreement, loop, of, says, stop_of, toolbox

from fcutils.dialects import encode
from fcutils.engines.local import LocalEngine
from fcutils.loop import BestTools, Choice, Offered
from fcutils.loop.select import ranked
from fcutils.messages import Conversation, Message, ToolCall
from fcutils.toolbox import Toolbox

WORDS = "tide moon bread train ticket invoice garden lamp river museum parcel guitar".split()  # noqa: SIM905


def tool(name: str, description: str = "", **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def asks(text: str, *called: str, tools: Any = ()) -> Conversation:
    calls = tuple(ToolCall(name) for name in called)
    before = (Message("user", "x"), Message("assistant", calls=calls), Message("tool", "y")) if called else ()
    return Conversation((*before, Message("user", text)), tuple(tools))


def shown(choices: list[Choice]) -> list[str]:
    return [choice.name for choice in choices if choice.shown]


TOOLS = [tool(f"{word}.look{word.title()}", f"Look at the {word}.") for word in WORDS]


def test_what_fits_is_seen_and_each_choice_says_why() -> None:
    choices = BestTools(2)(asks("Look, a river! The river with the moon over it, and a guitar", "bread.lookBread"), TOOLS)
    assert [choice.name for choice in choices] == [entry["function"]["name"] for entry in TOOLS]
    assert len(shown(choices)) == 3
    why = {choice.name: choice.why for choice in choices}
    assert why["bread.lookBread"] == "was called before"
    fitting = sorted(why[f"{word}.look{word.title()}"] for word in ("river", "moon", "guitar"))
    assert fitting == [f"fits the request: place {place}" for place in (1, 2, 3)]
    assert why["lamp.lookLamp"].startswith("fits the request: place"), "they all look"
    assert {choice.why for choice in BestTools(2)(asks("zebra"), TOOLS)} == {"shares no word with the request"}


def test_everything_that_a_schema_says_counts() -> None:
    tools = [
        tool("setSleepTimer"),
        tool("b", "Translate a web page."),
        tool("c", "", cabin={"enum": ["premium economy", "first"]}),
        tool("d", "", a={"type": "object", "properties": {"waterTemperature": {}}}),
        tool("e", "", a={"type": "array", "items": {"properties": {"x": {"description": "the choir that sings"}}}}),
        tool("f", "", when={"format": "date", "description": "Day"}),
        tool("g", "", url={"description": "Address"}),
        tool("h", "", ref={"description": "Number of the claim"}),
    ]
    for request, place in [
        ("sleeping with a timer", 0),
        ("TRANSLATION of pages", 1),
        ("fly premium", 2),
        ("temperature?", 3),
        ("sing", 4),
        ("I mean 2027-01-21", 5),
        ("see https://x.example", 6),
        ("so, EV-3143", 7),
    ]:
        assert ranked(request, tools)[0] == place, request
    assert ranked("", tools) == ranked("what is the", tools) == []


def test_a_choice_stays_as_long_as_it_will_do() -> None:
    best = BestTools(2)
    first = asks("tide and moon")
    names = shown(best(first, TOOLS))
    offered = [entry for entry in TOOLS if entry["function"]["name"] in names]
    for request in ("moon again", "yes, please", "moon and tide", "thanks, retrain"):
        assert shown(best(asks(request, tools=offered), TOOLS)) == names
    assert shown(best(asks("bread", tools=offered), TOOLS)) == ["bread.lookBread"]
    assert shown(best(asks("moon", tools=TOOLS), TOOLS)) == ["moon.lookMoon"], "all of them are no choice"
    gone = [tool("sold.out"), *offered]
    assert "sold.out" not in shown(best(asks("moon", "sold.out", tools=gone), TOOLS))


@settings(deadline=None)
@given(
    request=st.lists(st.sampled_from([*WORDS, "and", "2027-01-21", "<|im_end|>"]) | st.text(max_size=5), max_size=6).map(
        " ".join
    ),
    called=st.lists(st.sampled_from(WORDS), max_size=3),
    most=st.integers(1, 5),
)
def test_never_more_than_most_and_what_was_called(request: str, called: list[str], most: int) -> None:
    names = [f"{word}.look{word.title()}" for word in called]
    choices = BestTools(most)(asks(request, *names), TOOLS)
    assert len(choices) == len(TOOLS)
    assert set(names) <= set(shown(choices))
    assert len(shown(choices)) <= most + len(set(names))
    for word in WORDS:
        if sum(other in request for other in WORDS) == 1 and word in request.split():
            assert f"{word}.look{word.title()}" in shown(choices)


def many(count: int) -> Toolbox:
    box = Toolbox()
    for number in range(count):
        word = f"{WORDS[number % len(WORDS)]}{number:03}"

        def look(at: str) -> str:
            return "seen"

        look.__doc__ = f"Look at the {word}.\n\nArgs:\n    at: What of it\n"
        box.add(look, name=f"look_{word}")
    return box


def test_the_prompt_does_not_carry_two_hundred_tools() -> None:
    engine = tiny.engine("llama", context=100_000)
    box = many(200)
    call = says(ToolCall("look_moon037", {"at": "x"}))
    talk = loop(call, says(content="Seen."), says(content="Fine."), engine=engine, box=box, select_tools=BestTools(8))
    events = list(talk.run("Look at the moon037"))
    assert stop_of(events).reason == "answered"
    offered = of(Offered, events)[0]
    assert "look_moon037" in offered.names
    assert (len(offered.names) <= 8, offered.of, len(offered.choices)) == (True, 200, 200)
    cost = engine.cost(box.tools)
    assert offered.saved is not None
    assert cost - offered.saved == engine.cost(talk.conversation.tools) < cost / 15
    assert stop_of(events).forwarded < offered.saved / 5
    again = stop_of(list(talk.run("thanks")))
    assert again.forwarded < 60, "nothing else fits better: the same tools, the same cache"
    assert in_agreement(talk)


def test_what_is_called_without_being_shown_is_the_toolboxs_business() -> None:
    """The model's view is no fence: registered tools run (with approval where they ask for it), others do not."""
    box = many(20)
    hidden, unknown = says(ToolCall("look_moon013", {"at": "x"})), says(ToolCall("look_sun", {"at": "x"}))
    talk = loop(hidden, unknown, says(content="Seen."), box=box, select_tools=BestTools(1))
    events = list(talk.run("Look at the bread002"))
    assert of(Offered, events)[0].names == ("look_bread002",)
    kinds = [message.content.count("unknown_tool") for message in talk.conversation.messages if message.role == "tool"]
    assert kinds == [0, 1]


# ---- many tools --------------------------------------------------------------------------------------------------------


def test_a_selector_says_what_the_model_sees() -> None:
    asked: list[str] = []

    def select(talk: Conversation, tools: Any) -> list[Choice]:
        asked.append(talk.messages[-1].content)
        names = [tool["function"]["name"] for tool in tools]
        return [Choice(name, name in talk.messages[-1].content, "because") for name in names]

    talk = loop(says(content="a."), says(content="b."), says(content="c."), select_tools=select)
    first = list(talk.run("weather in Oslo"))
    choices = (Choice("weather", True, "because"), Choice("pay", False, "because"))
    assert isinstance(talk.engine, LocalEngine)
    whole, part = (encode(talk.engine.dialect.start(tools, "", ""), talk.engine.tokenizer).ids for tools in _both_and_one())
    assert of(Offered, first) == [Offered(("weather",), 2, len(whole) - len(part), choices)]
    same = stop_of(list(talk.run("weather in Bergen")))
    assert same.forwarded < 60, "the same tools, the same cache"
    other = list(talk.run("pay this"))
    assert of(Offered, other)[0].names == ("pay",)
    assert talk.conversation.tools == tuple(tool for tool in toolbox().tools if tool["function"]["name"] == "pay")
    assert asked == ["weather in Oslo", "weather in Bergen", "pay this"]
    assert in_agreement(talk)


def _both_and_one() -> tuple[Any, Any]:
    return toolbox().tools, toolbox().tools[:1]
