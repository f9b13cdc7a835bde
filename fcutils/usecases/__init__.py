"""Working use cases, each a `Toolbox` of its own over an embedded database, with a sample dialogue.

A use case is a module here with `toolbox(db=None, *, on_approve=None)` and `DIALOGUE`; its seed rows are in
`data/usecases/NAME/`. A new module is found by itself.
"""

from __future__ import annotations

import functools
import importlib
import operator
import pkgutil
from collections.abc import Iterable
from types import ModuleType

from fcutils.messages import Conversation, Message
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database

_GROUND = ("database", "values")  # what the use cases stand on
NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _GROUND))


def load(name: str, db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The toolbox of one use case, over a fresh database in memory unless one is given.

    Tools that write are refused as long as there is nobody to ask: `on_approve=lambda call: True` agrees to everything.
    """
    return _module(name).toolbox(db, on_approve=on_approve)


def dialogue(name: str) -> tuple[Message, ...]:
    """A use case's sample dialogue: what the user says, the calls expected, the answers."""
    return _module(name).DIALOGUE


def all_tools(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The tools of all use cases in one toolbox, over one database."""
    db = db or Database()
    return functools.reduce(operator.or_, (load(name, db, on_approve=on_approve) for name in NAMES))


def play(tools: Toolbox, dialogue: Iterable[Message]) -> Conversation:
    """Run the calls of a dialogue, and put what came of them behind each."""
    messages: list[Message] = []
    for message in dialogue:
        messages.append(message)
        messages += [observation.to_message() for observation in tools.call_all(message.calls)]
    return Conversation(tuple(messages), tuple(tools.tools))


def _module(name: str) -> ModuleType:
    if name not in NAMES:
        raise LookupError(f"there is no use case {name!r}; there are {', '.join(NAMES)}")
    return importlib.import_module(f"fcutils.usecases.{name}")
