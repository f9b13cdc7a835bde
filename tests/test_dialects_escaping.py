"""`escape`: no marker of the dialect can be read in text from outside, however it is spelt; all other text stays as it is."""

import json
import re
import unicodedata

import pytest
from dialect_samples import tool, written
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils.dialects import DIALECTS
from fcutils.messages import Message, ToolCall, conversation, dumps

MARKED = [dialect for dialect in DIALECTS.values() if dialect.tokens]
each = pytest.mark.parametrize("dialect", MARKED, ids=lambda dialect: dialect.name)
INVISIBLE = "\u200b\u00ad\ufeff\u2060\u034f\ufe0f"
SPACES = ["", " ", "\t\n", "\u00a0", "\u3000 "]


@st.composite
def spellings(draw, mark: str) -> str:
    """The mark as an attacker may write it: case, white space, wide and invisible characters."""
    out = []
    inside = False
    for char in mark:
        if not char.isalnum() and char != "_":
            out.append(draw(st.sampled_from(SPACES)) if out else "")
        elif not inside:
            out.append(draw(st.sampled_from(SPACES)))
        inside = char.isalnum() or char == "_"
        char = draw(st.sampled_from([char, char.upper(), char.lower()]))
        wide = chr(ord(char) + 0xFEE0) if draw(st.integers(0, 5)) == 0 else char
        out += [wide, draw(st.sampled_from(["", "", "", *INVISIBLE]))]
    return "".join(out)


def plainest(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text)
    return "".join(
        char for char in folded if unicodedata.category(char) not in ("Cf", "Mn", "Me") and not char.isspace()
    ).lower()


@each
@settings(deadline=None)
@given(st.data())
def test_no_spelling_of_a_mark_gets_through(dialect, data):
    marks = dialect.tokens + dialect.tags
    mark = data.draw(st.sampled_from(marks))
    around = st.text(alphabet=st.characters(exclude_characters="<[＜［﹤﹇", exclude_categories=["Cs"]), max_size=5)
    text = f"{data.draw(around)} {data.draw(spellings(mark))} {data.draw(around)}"
    escaped = dialect.escape(text)
    assert not any(mark.lower() in plainest(escaped) for mark in marks)
    assert re.sub(r"\\u(003c|005b|ff1c|ff3b)", lambda match: chr(int(match[1], 16)), escaped) == text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("</tool_response>", "\\u003c/tool_response>"),
        ("</ tool_response >", "\\u003c/ tool_response >"),
        ("< / TOOL_RESPONSE>", "\\u003c / TOOL_RESPONSE>"),
        ("<Tool_Call id=1>", "\\u003cTool_Call id=1>"),
        ("<tool_call", "\\u003ctool_call"),
        ("＜tool_call>", "\\uff1ctool_call>"),
        ("<\u200btool_call>", "\\u003c\u200btool_call>"),
        ("<ｔool_call>", "\\u003cｔool_call>"),
        ("<<tool_call>>", "<\\u003ctool_call>>"),
        ("<|IM_end|>", "\\u003c|IM_end|>"),
        ('{"</tools>": "\\n<tools>"}', '{"\\u003c/tools>": "\\n\\u003ctools>"}'),
        ('"<\\n/tool_call>"', '"\\u003c\\n/tool_call>"'),
        ("é <tools> ü <x>", "é \\u003ctools> ü <x>"),
    ],
)
def test_what_looks_like_a_mark_is_written_as_json_would(text, escaped):
    assert DIALECTS["hermes"].escape(text) == escaped


@each
@pytest.mark.parametrize(
    "text",
    ["a < b", "<p>tools</p>", "<toolbox>", "<tool_calls>", "[1, 2]", "<tool call>", "tool_call", "é<ü", "|im_end|", "x [i] <"],
)
def test_other_text_stays(dialect, text):
    assert dialect.escape(text) == text


@each
@settings(deadline=None)
@given(st.data())
def test_json_says_the_same_as_before(dialect, data):
    words = st.lists(st.sampled_from([*dialect.tokens, *dialect.tags, "\\", '"', "\n"]) | st.text(max_size=3), max_size=5).map(
        "".join
    )
    value = data.draw(st.dictionaries(words, words | st.lists(words, max_size=2), max_size=3))
    assert json.loads(dialect.escape(dumps(value))) == value


@each
def test_marks_stay_out_of_tools_calls_and_results(dialect):
    for mark in dialect.tokens + dialect.tags:
        here = f"§{mark}"
        call = ToolCall(here, {here: [{here: here}]}, "123456789")
        result = Message("tool", here, name=here, call_id=call.id)
        talk = conversation(
            [Message("user", "hi"), Message("assistant", here, here, (call,)), result], [tool(here, **{here: here})]
        )
        assert here not in written(dialect, talk)


@pytest.mark.parametrize(
    "text", ["<" * 200_000, "<" + " " * 200_000, "< \u200b" * 60_000, "</" * 100_000, "[" + "\\n" * 100_000]
)
def test_it_takes_one_walk(text):
    """With one that backtracks, or begins anew at every bracket, these would take hours."""
    assert all(dialect.escape(text) == text for dialect in MARKED)
