"""`python -m fcutils chat`: talk to a model with tools in a terminal, and see every call and its result as they happen.

Knows lines and keys. Which model is meant is `open_engine.py`'s, what happens is the loop's, how a call looks `traces.py`'s.
Nothing that a model or a tool writes reaches the terminal as a command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from fcutils import usecases
from fcutils.dialects import DialectError
from fcutils.engines.base import EngineError
from fcutils.evaluate.open_engine import OpenError, open_engine
from fcutils.loop import Answer, BadCall, BestTools, Call, Event, Observed, Shortened, Stop, Text, Thought, ToolLoop
from fcutils.messages import Conversation, Message, ToolCall
from fcutils.models import ModelError
from fcutils.show.traces import observed, plain, written

ALL = "all"  # use cases
COMMANDS = "/undo takes back what was said last, /save FILE, /tools, /quit"
_WRONG = 2  # exit code: nothing could be begun


def run_chat(arguments: Sequence[str] = ()) -> int:
    """Talk to a model with the tools of a use case. Ctrl-C interrupts a reply; the conversation goes on."""
    options = _options().parse_args(arguments)
    try:
        engine, constraint = open_engine(options.model, options.engine, options.dialect, constrained=options.constrained)
        tools = usecases.all_tools() if options.usecase == ALL else usecases.load(options.usecase)
        tools.on_approve = (lambda call: True) if options.yes else approve
        select = BestTools() if options.usecase == ALL else None
        Talk(ToolLoop(engine, tools, constraint=constraint, select_tools=select)).go()
    except (OpenError, ModelError, DialectError, EngineError) as error:
        print(f"chat: {error}", file=sys.stderr)
        return _WRONG
    return 0


class Talk:
    """A conversation at a terminal's prompt, over a loop."""

    def __init__(self, loop: ToolLoop) -> None:
        self.loop = loop
        self._undone: Conversation | None = None  # what is left of the conversation, until something new is said

    def go(self) -> None:
        """Until the user leaves."""
        print(f"{plain(self.loop.engine.name)}, {len(self.loop.toolbox)} tools. {COMMANDS}")
        while True:
            try:
                said = input("\nyou> ").strip()
                if said == "/quit":
                    return
                if said.startswith("/"):
                    self.command(*said.split(maxsplit=1))
                elif said:
                    self.say(said)
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print("\n(interrupted: the conversation is as far as it got; /quit leaves)")

    def say(self, text: str) -> None:
        """One request, and all that comes of it."""
        request: str | Conversation = text
        if self._undone is not None:
            request, self._undone = self._undone.add(Message("user", text)), None
        with closing(self.loop.run(request)) as events:
            tell(events)

    def command(self, name: str, rest: str = "") -> None:
        match name:
            case "/undo":
                self.undo()
            case "/save":
                self.save(rest)
            case "/tools":
                for tool in self.loop.toolbox.tools:
                    function = tool["function"]
                    print(f"  {function['name']}: {plain(function.get('description', '').strip().split(chr(10))[0])}")
            case _:
                print(f"there is no {plain(name)}: {COMMANDS}")

    def undo(self) -> None:
        talk = self.talk
        places = [place for place, message in enumerate(talk.messages) if message.role == "user"]
        if not places:
            print("nothing was said yet")
            return
        self._undone = Conversation(talk.messages[: places[-1]], talk.tools, talk.meta)
        print(f"taken back: {plain(talk.messages[places[-1]].content)}\n(what tools did stays done)")

    def save(self, name: str) -> None:
        path = Path(name).expanduser()
        if not name or path.exists():
            print(f"{plain(name)} is there already: give another name" if name else "say where: /save FILE")
            return
        try:
            self.talk.save(path)
            print(f"saved in {plain(str(path))}")
        except OSError as error:
            print(f"not saved: {plain(str(error))}")

    @property
    def talk(self) -> Conversation:
        """The conversation as the user knows it."""
        return self.loop.conversation if self._undone is None else self._undone


def tell(events: Iterable[Event]) -> str:
    """Events as they happen: words piece by piece, everything else on lines of its own. Gives the answer, if any."""
    answer = ""
    open_line: type[Event] | None = None  # of words: a thought's, or what is said
    for event in events:
        if isinstance(event, Text | Thought):
            if type(event) is open_line:
                print(plain(event.text), end="", flush=True)
            elif words := plain(event.text).lstrip():
                head = "thought " if isinstance(event, Thought) else ""
                print(("\n" if open_line else "") + head + words, end="", flush=True)
                open_line = type(event)
        elif line := _line(event):
            print(("\n" if open_line else "") + line, flush=True)
            open_line = None
        elif isinstance(event, Answer):
            answer = event.text
    print("\n" if open_line else "", end="")
    return answer


def approve(call: ToolCall) -> bool | str:
    """Asks the person at the terminal; nothing but y or yes is a yes."""
    try:
        return input(f"run {plain(written(call))}? [y/n] ").strip().lower() in ("y", "yes") or "the user said no"
    except EOFError:
        return "there is nobody to ask"


def _line(event: Event) -> str:
    """What is said of an event on a line of its own, if anything."""
    match event:
        case Call(call):
            return f"call    {plain(written(call))}"
        case BadCall(fault):
            return f"call    that cannot be read: {plain(fault.reason)}"
        case Observed(observation):
            card = observed(observation)
            return f"result  {plain(card.text)}  [{plain(card.note)}]"
        case Shortened(message, characters):
            return f"({characters} characters of message {message} were cut to make room; the reply begins anew)"
        case Stop(reason, detail, turns=turns, sampled=sampled, seconds=seconds):
            why = "" if reason in ("answered", "asked") else f"{reason}: {plain(detail)}; "
            return f"({why}{turns} {'reply' if turns == 1 else 'replies'}, {sampled} tokens, {seconds:.1f} s)"
    return ""


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fcutils chat", description=run_chat.__doc__)
    add = parser.add_argument
    add("model", nargs="?", default="hermes3", help="a key of the catalogue (hermes3), a folder, or the server's name for it")
    cases = (*usecases.NAMES, ALL)
    add("--usecase", choices=cases, default="assistant", help="whose tools there are (assistant)")
    add("--engine", metavar="URL", help="an OpenAI-compatible server, such as http://localhost:8000/v1")
    add("--dialect", help="how the model is asked; for a folder that is not one of the course's")
    add("--constrained", action="store_true", help="calls are held to their schemas by a grammar")
    add("--yes", action="store_true", help="let tools that change the world run without asking")
    return parser
