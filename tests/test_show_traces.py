"""show/traces.py: what happened is on the cards, and nothing that somebody wrote becomes markup or a terminal's command."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

import nbclient
import nbformat
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from scripted import patient

from fcutils.loop import Answer, BadCall, Call, Event, Observed, Offered, Shortened, Stop, Text, Thought, ToolLoop
from fcutils.messages import Conversation, Fault, Message, Observation, ToolCall
from fcutils.show import Card, Trace, trace
from fcutils.show.traces import MOST, plain
from fcutils.toolbox import Toolbox

HOSTILE = "</pre></div><script>alert(1)</script><img src=x onerror='alert(2)'>\"' $x^2$ \\(y\\) &lt;b&gt;\x1b[2J\u202e\r\x07"


class Reader(HTMLParser):
    """What a browser makes of it: tags, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def stop(talk: Conversation, detail: str = "") -> Stop:
    return Stop("answered", detail, talk, 2, 30, 120, 1.25)


def kinds(shown: Trace) -> list[str]:
    return [card.kind for card in shown.cards]


# ---- what is on the cards ----------------------------------------------------------------------------------------------


def test_a_run_as_it_happened() -> None:
    box = Toolbox()

    @box.tool
    def weather(city: str) -> str:
        """The weather of a place.

        Args:
            city: The city's name
        """
        return f"cold in {city}"

    engine = tiny.engine("gemma2")
    calls = (ToolCall("weather", {"city": "Oslo"}), ToolCall("wether", {"city": "Rom"}))
    script = tiny.Script(
        engine, Message("assistant", "I look.", "Two cities.", calls), Message("assistant", "Cold.", "So it is.")
    )
    loop = ToolLoop(engine, box, constraint=script)
    events = list(loop.run("How is it in Oslo and Rome?"))
    shown = trace(events)
    wanted = ["user", "thought", "text", "call", "call", "observation", "trouble", "thought", "answer", "stop"]
    assert kinds(shown) == wanted
    words = [card.text.strip() for card in shown.cards[:6]]
    assert words == [
        "How is it in Oslo and Rome?",
        "Two cities.",
        "I look.",
        'weather(city="Oslo")',
        'wether(city="Rom")',
        "cold in Oslo",
    ]
    assert "unknown tool" in shown.cards[6].note and "weather" in shown.cards[6].text
    assert "answered: 2 replies" in shown.cards[-1].note and "tokens written" in shown.cards[-1].note
    assert kinds(trace(iter(events))) == wanted, "events that are still coming"
    assert kinds(trace(loop.conversation)) == [kind if kind != "trouble" else "observation" for kind in wanted[:-1]]
    for seen in range(len(events)):
        assert len(trace(events[:seen]).cards) <= len(shown.cards)


def test_seconds_and_cuts_stand_beside_a_result() -> None:
    (card,) = trace([Observed(Observation({"a": 1}, name="f", seconds=1.234, truncated=True))]).cards
    assert (card.text, card.note) == ('{"a": 1}', "f, 1.23 s, cut")


def test_what_a_reply_said_before_it_began_anew_is_gone() -> None:
    call = Call(ToolCall("f"))
    events: list[Event] = [call, Observed(Observation("1")), Text("So "), call, Shortened(2, 900), Text("Now"), Answer("Now")]
    shown = trace(events)
    assert kinds(shown) == ["call", "observation", "note", "answer"]
    assert "900 characters of message 2" in shown.cards[2].text


def test_offered_tools_and_bad_calls_are_shown() -> None:
    shown = trace([Offered(("a", "b"), 200, 5000, ()), BadCall(Fault("json", "ends too soon", 0, 4))])
    assert shown.cards[0].text == "the model sees 2 of 200 tools: a, b"
    assert (shown.cards[1].text, shown.cards[1].note) == ("ends too soon", "json")


# ---- plain text --------------------------------------------------------------------------------------------------------


def test_as_text_it_is_lines_with_the_kind_in_front() -> None:
    shown = trace(Conversation((Message("user", "one\ntwo"), Message("assistant", "three"))))
    assert repr(shown) == "user         one\n             two\nanswer       three"
    long = repr(Trace((Card("observation", "x" * (MOST + 7)),)))
    assert long.endswith("… 7 characters more")


def test_a_notebook_gets_both() -> None:
    source = "from fcutils.show import trace\nfrom fcutils.messages import *\ntrace(conversation([Message('user', 'hello')]))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.data["text/plain"] == "user         hello"
    assert "<b>user</b>" in output.data["text/html"]


# ---- attacks -----------------------------------------------------------------------------------------------------------


def everywhere(text: str) -> list[Trace]:
    call = ToolCall(text, {text: text, "deep": {text: [text]}}, text)
    talk = Conversation(
        (
            Message("system", text),
            Message("user", text),
            Message("assistant", text, text, (call,)),
            Message("tool", text, name=text, call_id=text),
            Message("assistant", text),
        )
    )
    events: list[Event] = [
        Offered((text,), 9, None, ()),
        Thought(text),
        Text(text),
        Call(call),
        BadCall(Fault(text, text, 0, 1)),
        Observed(Observation(text, name=text), call),
        Observed(Observation({text: text}, name=text), call),
        Observed(Observation(text, "failed", text)),
        Shortened(1, 2),
        Answer(text),
        stop(talk, text),
    ]
    return [trace(talk), trace(events)]


def check(shown: Trace) -> Reader:
    page = Reader(shown._repr_html_())
    assert set(page.tags) <= {"div", "b", "code", "pre"}
    assert page.attributes <= {"style", "class"}
    assert page.tags.count("b") == len(shown.cards)
    for written in (repr(shown), page.text):
        assert all(unicodedata.category(char) != "Cc" for char in written.replace("\n", "").replace("\t", ""))
        assert "\u202e" not in written
    return page


@pytest.mark.parametrize("place", [0, 1], ids=["conversation", "events"])
def test_hostile_text_in_every_field_stays_text(place: int) -> None:
    shown = everywhere(HOSTILE)[place]
    page = check(shown)
    assert page.text.count("<script>alert(1)</script>") >= len(shown.cards)
    assert "<U+001B>[2J<U+202E><U+000D><U+0007>" in page.text
    assert "\x1b" not in repr(shown) and "<U+001B>[2J" in repr(shown)


def test_no_formula_is_set_from_what_others_wrote() -> None:
    """MathJax leaves `pre`, `code` and these classes alone."""
    page = trace(Conversation((Message("user", HOSTILE),)))._repr_html_()
    assert page.startswith('<div class="tex2jax_ignore mathjax_ignore">')


@patient
@given(st.text())
def test_any_text_at_all(text: str) -> None:
    for shown in everywhere(text):
        check(shown)
    page = Reader(Trace((Card("answer", text + "."),))._repr_html_())
    assert page.text.strip() == ("answer" + plain((text + ".").strip())).strip()


def test_plain_leaves_what_people_write() -> None:
    text = "Grüße, 外套 🙂\u200d↔️\n\tשלום – “x”"
    assert plain(text) == text
    assert plain("a\x00b\u2028c\ud800") == "a<U+0000>b<U+2028>c<U+D800>"
