"""What goes when a conversation outgrows the model: the oldest results, with a mark in their place; the newest by halves."""

from __future__ import annotations

from dataclasses import replace

from fcutils.messages import Conversation

SHORT = 200  # characters: a result no longer than this stays


def cut_oldest(talk: Conversation) -> tuple[Conversation, int, int] | None:
    """The conversation with one result cut, which message, and how many characters went. None: nothing is left to cut."""
    results = [place for place, message in enumerate(talk.messages) if message.role == "tool"]
    place = next((place for place in results if len(talk.messages[place].content) > SHORT), None)
    if place is None:
        return None
    message = talk.messages[place]
    kept = message.content[: len(message.content) // 2 - SHORT // 4] if place == results[-1] else ""
    gone = len(message.content) - len(kept)
    short = replace(message, content=f"{kept}[{gone} characters were cut here to make room]")
    return replace(talk, messages=(*talk.messages[:place], short, *talk.messages[place + 1 :])), place, gone
