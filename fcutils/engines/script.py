"""A model that says what it is told: to show, or to test, what a loop makes of a reply that no model can be trusted to give.

A constraint strikes out every token but the next one of the script. All else is real: the ids, the cache, the pause at a
call, what is counted. Knows nothing of loops or tools.
"""

from __future__ import annotations

from typing import Any

from fcutils.engines.base import EngineError, Tools
from fcutils.engines.local import LocalEngine
from fcutils.messages import Message


class Script:
    """A constraint that dictates one reply after the other, token by token: what a model does that says exactly this.

    A text is what the model writes before the end of its turn; a message is said as the dialect says it.
    """

    def __init__(self, engine: LocalEngine, *replies: str | Message) -> None:
        self.told: list[list[int]] = []  # what was begun, the current reply last
        self._left = [_ids(engine, reply) for reply in replies]

    def guide(self, tools: Tools) -> _Dictation:
        return _Dictation(self)

    def begin(self) -> None:
        if not self._left:
            raise EngineError("the script has no reply left: give it one for every reply of the model")
        self.told.append(self._left.pop(0))


def _ids(engine: LocalEngine, reply: str | Message) -> list[int]:
    dialect = engine.dialect
    pieces = dialect.reply(reply) if isinstance(reply, Message) else dialect.says(reply + dialect.ends[0])
    return engine.encode(pieces)


class _Dictation:
    active = True

    def __init__(self, script: Script) -> None:
        self._script, self._at = script, 0

    def restrict(self, logits: Any) -> None:
        if self._at == 0:  # not the rest of a reply that was paused
            self._script.begin()
        logits.fill_(float("-inf"))
        logits[self._script.told[-1][self._at]] = 0.0

    def take(self, token: int) -> None:
        self._at += 1
