"""A trace: what happened between a person, a model and tools, as cards in a notebook and as lines in a terminal.

Knows conversations and a loop's events. All text in it was written by somebody else, or by a model: none of it becomes markup,
a formula or a terminal's command.
"""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fcutils.loop.events import Answer, BadCall, Call, Event, Observed, Offered, Shortened, Stop, Text, Thought
from fcutils.messages import Conversation, Message, Observation, ToolCall

Kind = Literal["system", "user", "thought", "text", "call", "bad call", "observation", "trouble", "answer", "note", "stop"]
MOST = 1_000  # characters of one card, as text; a notebook shows all, in a card that scrolls
_COLOURS: dict[Kind, str] = {  # of the edge alone: the words keep the notebook's own colour, be it light or dark
    "user": "#0072B2",
    "thought": "#CC79A7",
    "call": "#E69F00",
    "bad call": "#D55E00",
    "observation": "#56B4E9",
    "trouble": "#D55E00",
    "answer": "#009E73",
}
_GREY = "#8a8a8a"
_CARD = "margin:4px 0;padding:4px 10px;border-left:4px solid {};background:rgba(127,127,127,0.09);max-width:60em"
_WORDS = (
    "margin:2px 0 0;padding:0;border:0;background:none;color:inherit;font-family:monospace;white-space:pre-wrap;"
    "overflow-wrap:anywhere;max-height:20em;overflow:auto"
)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they show text in another order


@dataclass(frozen=True, slots=True)
class Card:
    """One thing that happened; `note` stands beside its kind."""

    kind: Kind
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Trace:
    """Cards, in the order in which things happened. A notebook shows them as such, `print` as text."""

    cards: tuple[Card, ...]

    def __repr__(self) -> str:
        return "\n".join(map(_as_text, self.cards))

    def _repr_html_(self) -> str:
        """Cards that read well without their styles too. `pre` and the class keep formulas from being set."""
        cards = "\n".join(map(_as_html, self.cards))
        return f'<div class="tex2jax_ignore mathjax_ignore">\n{cards}\n</div>'


def trace(of: Conversation | Iterable[Event]) -> Trace:
    """What happened: in a conversation, or in one run of a loop (its events, also while they are still coming)."""
    return Trace(tuple(_of_messages(of.messages) if isinstance(of, Conversation) else _of_events(list(of))))


def written(call: ToolCall) -> str:
    """A call as one line: name(argument=value), the values as JSON."""
    arguments = (f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in call.arguments.items())
    return f"{call.name}({', '.join(arguments)})"


def plain(text: str) -> str:
    """Text that a terminal shows and does not obey: control characters, and those that turn its direction, become visible."""
    return "".join(char if _harmless(char) else f"<U+{ord(char):04X}>" for char in text)


# ---- cards -------------------------------------------------------------------------------------------------------------


def _of_messages(messages: Sequence[Message]) -> Iterator[Card]:
    for message in messages:
        if message.role == "tool":
            yield Card("observation", message.content, message.name or "")
        elif message.role == "assistant":
            if message.thought:
                yield Card("thought", message.thought)
            if message.content:
                yield Card("text" if message.calls else "answer", message.content)
            yield from (Card("call", written(call)) for call in message.calls)
        else:
            yield Card("system" if message.role == "system" else "user", message.content)


def _of_events(events: Sequence[Event]) -> list[Card]:
    """Pieces of thought and text grow together. What a reply said before it was begun anew is gone."""
    cards = _asked(events)
    whole = len(cards)  # up to here, nothing can be taken back
    for event in events:
        if isinstance(event, Thought | Text):
            _grow(cards, "thought" if isinstance(event, Thought) else "text", event.text, whole)
            continue
        if isinstance(event, Shortened):
            del cards[whole:]
        elif isinstance(event, Answer) and len(cards) > whole and cards[-1].kind == "text":
            cards.pop()  # the answer is the same words, whole
        card = _card(event)
        if card.text or card.note:
            cards.append(card)
        if isinstance(event, Observed | Answer | Shortened | Offered):
            whole = len(cards)
    return [card for card in cards if card.text.strip() or card.note]


def _asked(events: Sequence[Event]) -> list[Card]:
    """What the user said, which no event tells but the last."""
    stop = next((event for event in events if isinstance(event, Stop)), None)
    said = [message for message in stop.conversation.messages if message.role == "user"] if stop else []
    return [Card("user", said[-1].content)] if said else []


def _grow(cards: list[Card], kind: Kind, text: str, whole: int) -> None:
    if len(cards) > whole and cards[-1].kind == kind:
        cards[-1] = Card(kind, cards[-1].text + text)
    else:
        cards.append(Card(kind, text))


def _card(event: Event) -> Card:
    match event:
        case Call(call):
            return Card("call", written(call))
        case BadCall(fault):
            return Card("bad call", fault.reason, fault.kind)
        case Observed(observation):
            return observed(observation)
        case Shortened(message, characters):
            return Card("note", f"{characters} characters of message {message} were cut to make room; the reply begins anew")
        case Offered():
            return Card("note", f"the model sees {len(event.names)} of {event.of} tools: {', '.join(event.names)}")
        case Answer(text):
            return Card("answer", text)
        case Stop():
            return Card("stop", event.detail, _figures(event))
        case Thought(text) | Text(text):
            return Card("text", text)


def observed(observation: Observation) -> Card:
    """What came of a call, with what it took."""
    words = [observation.name, "" if observation.ok else observation.kind.replace("_", " ")]
    words += [f"{observation.seconds:.2f} s" if observation.seconds else "", "cut" if observation.truncated else ""]
    content = observation.text if observation.ok else str(observation.content)
    return Card("observation" if observation.ok else "trouble", content, ", ".join(filter(None, words)))


def _figures(stop: Stop) -> str:
    replies = f"{stop.turns} {'reply' if stop.turns == 1 else 'replies'}"
    return f"{stop.reason}: {replies}, {stop.sampled} tokens written, {stop.forwarded} forwarded, {stop.seconds:.1f} s"


# ---- how they look -----------------------------------------------------------------------------------------------------


def _as_text(card: Card) -> str:
    """The kind, and the words beside it; a note in brackets."""
    gone = len(card.text) - MOST
    words = plain(card.text[:MOST].strip()) + (f" … {gone} characters more" if gone > 0 else "")
    note = f"[{plain(card.note)}]" if card.note else ""
    first, *rest = " ".join(filter(None, [note, words])).split("\n")
    return "\n".join([f"{card.kind:<13}{first}", *(" " * 13 + line for line in rest)])


def _as_html(card: Card) -> str:
    note = f" · <code>{html.escape(plain(card.note))}</code>" if card.note else ""
    words = f'<pre style="{_WORDS}">{html.escape(plain(card.text.strip()))}</pre>' if card.text.strip() else ""
    return f'<div style="{_CARD.format(_COLOURS.get(card.kind, _GREY))}"><b>{card.kind}</b>{note}{words}</div>'


def _harmless(char: str) -> bool:
    return char in "\n\t" or (unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and char not in _BIDI)
