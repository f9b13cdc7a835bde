"""`python -m fcutils demo`: one question in the terminal, with the pocket model's call, its result and its answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from fcutils import models, usecases
from fcutils.chat import tell
from fcutils.engines.base import Constraint, Engine
from fcutils.evaluate.open_engine import open_engine
from fcutils.loop import ToolLoop

MODEL = "hermes3"
QUESTION = "Remind me to call Anna on 2026-03-05 at 08:00."
MOST = 256  # tokens, call and answer together


def run_demo(arguments: Sequence[str] = ()) -> int:
    """Exit code 0: there was an answer; 1: there was none; 2: the model cannot be loaded."""
    argparse.ArgumentParser(prog="python -m fcutils demo", description=QUESTION).parse_args(arguments)
    try:
        engine, constraint = open_engine(MODEL)
    except models.ModelError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    print(f"\nyou> {QUESTION}")
    return 0 if tell(loop(engine, constraint).run(QUESTION)) else 1


def loop(engine: Engine, constraint: Constraint | None = None) -> ToolLoop:
    """The assistant's tools, and nobody who has to be asked."""
    tools = usecases.load("assistant", on_approve=lambda call: True)
    return ToolLoop(engine, tools, constraint=constraint, max_tokens=MOST)
