"""`python -m fcutils COMMAND`: what can be done from a shell. A command is one line of the table below.

Knows the commands' names; what each does is said and done in its own room, which is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

COMMANDS: Mapping[str, tuple[str, str]] = (
    MappingProxyType(  # name: (module:function of the other arguments -> exit code, summary)
        {
            "evaluate": ("fcutils.evaluate.command:run_evaluate", "score a model on rows, a benchmark's folder, or dialogues"),
            "chat": ("fcutils.chat:run_chat", "talk to a model with tools"),
            "demo": ("fcutils.demo:run_demo", "one question, with its call, its result and its answer"),
            "compare": ("fcutils.evaluate.command:run_compare", "reports side by side, and whether they really differ"),
        }
    )
)


def main(arguments: Sequence[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name not in COMMANDS:
        print(f"fcutils: there is no command {name!r}\n{_usage()}", file=sys.stderr)
        return 2
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # models write what not every terminal can show
    module, _, function = COMMANDS[name][0].partition(":")
    try:
        return getattr(importlib.import_module(module), function)(rest)
    except KeyboardInterrupt:
        return 130


def _usage() -> str:
    lines = [f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: python -m fcutils COMMAND ...   (COMMAND --help says more)", *lines])


if __name__ == "__main__":
    sys.exit(main())
