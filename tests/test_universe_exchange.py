"""Other words for the same talk: the same word everywhere, calls that still fit their tools, and a grammar left alone."""

import json
from random import Random

import pytest

from fcutils.dataset import row_faults
from fcutils.messages import Conversation, Message, ToolCall
from fcutils.universe import Corner, Recipe, conversations, corner, load
from fcutils.universe.exchange import exchanged, words

TABLE = {
    "type": "function",
    "function": {
        "name": "book_tables",
        "description": "Book a table at a restaurant.",
        "parameters": {
            "type": "object",
            "properties": {
                "restaurant": {"type": "string", "description": "Which restaurant"},
                "day": {"type": "string", "format": "date"},
                "where": {"type": "string", "enum": ["terrace", "inside"]},
            },
            "required": ["restaurant", "day"],
        },
    },
}
CALL = ToolCall("book_tables", {"restaurant": "Åkerhus", "day": "2026-03-04", "where": "terrace"}, "c1")
TALK = Conversation(
    (
        Message("user", "I want Tables at Åkerhus on 4 March, on the TERRACE. Cheers!"),
        Message("assistant", thought="A table on the terrace.", calls=(CALL,)),
        Message("tool", '{"table": 7}', name="book_tables", call_id="c1"),
        Message("assistant", "You have table 7."),
    ),
    (TABLE,),
    {},
)


@pytest.fixture(scope="module")
def where() -> Corner:
    return corner(load(), "train")


def test_a_word_of_the_request_is_exchanged_everywhere_alike() -> None:
    made = exchanged(TALK, ["lantern", "violin", "meadow"], Random(1))
    call, schema = made.messages[1].calls[0], made.tools[0]["function"]
    new = schema["name"].removeprefix("book_").removesuffix("s")
    other = call.arguments["where"]
    assert new != "table" and other != "terrace" and new != other
    assert call.name == made.messages[2].name == schema["name"]
    assert schema["description"] == f"Book a {new} at a restaurant.", "what is not in the request stays"
    assert made.messages[0].content == f"I want {new.capitalize()}s at Åkerhus on 4 March, on the {other.upper()}. Cheers!"
    assert made.messages[1].thought == f"A {new} on the {other}."
    assert json.loads(made.messages[2].content) == {new: 7}
    assert made.messages[3].content == f"You have {new} 7."
    assert schema["parameters"]["properties"]["where"]["enum"] == [other, "inside"]


def test_grammar_dates_and_letters_beyond_ascii_stay() -> None:
    made = exchanged(TALK, ["lantern"], Random(2))
    parameters = made.tools[0]["function"]["parameters"]
    assert parameters["type"] == "object" and parameters["required"] == ["restaurant", "day"]
    assert parameters["properties"]["day"] == {"type": "string", "format": "date"}
    assert made.messages[1].calls[0].arguments["day"] == "2026-03-04"
    assert made.messages[1].calls[0].arguments["restaurant"] == "Åkerhus"


def test_the_same_dice_give_the_same_words() -> None:
    pool = ["lantern", "violin", "meadow", "copper"]
    assert exchanged(TALK, pool, Random(3)) == exchanged(TALK, pool, Random(3)) != exchanged(TALK, pool, Random(4))


def test_calls_of_the_corpus_still_fit_their_tools(where: Corner) -> None:
    pool, changed = words(where), 0
    recipe = Recipe(mix={"single": 0.6, "parallel": 0.2, "sequence": 0.2})
    for number, talk in zip(range(150), conversations(where, 5, recipe), strict=False):
        made = exchanged(talk, pool, Random(number))
        assert not list(row_faults(made)), made.tools
        assert [len(message.calls) for message in made.messages] == [len(message.calls) for message in talk.messages]
        changed += made != talk
    assert changed > 120
