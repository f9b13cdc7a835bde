"""`python -m fcutils demo`: one question in the terminal, with its call, its result and its answer.

With the pocket model's weights in place, a model answers. Until they are, the two replies are written by hand, and the demo
says so; the tool, its database, the reading of the call and the check of its arguments are real either way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from fcutils import models, usecases
from fcutils.chat import tell
from fcutils.evaluate.open_engine import open_engine
from fcutils.loop import Answer, Call, Event, Observed, Text, ToolLoop
from fcutils.parsing import parse_reply
from fcutils.toolbox import Toolbox

MODEL = "hermes3"
QUESTION = "Has the payment for transaction T1001 gone through?"
MOST = 256  # tokens, call and answer together


def run_demo(arguments: Sequence[str] = ()) -> int:
    """Exit code 0: there was an answer; 1: there was none; 2: the model cannot be loaded."""
    argparse.ArgumentParser(prog="python -m fcutils demo", description=QUESTION).parse_args(arguments)
    toolbox = usecases.load("support")
    try:
        events = _asked(toolbox) if _trained() else _typed(toolbox)
    except models.ModelError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    print(f"\nyou> {QUESTION}")
    return 0 if tell(events) else 1


def _asked(toolbox: Toolbox) -> Iterator[Event]:
    engine, constraint = open_engine(MODEL)
    return ToolLoop(engine, toolbox, constraint=constraint, max_tokens=MOST).run(QUESTION)


# ---- until there are weights: all that follows, and the choice in run_demo, goes when they come ---------------------------

REPLY = '<tool_call>\n{"name": "retrieve_payment_status", "arguments": {"transaction_id": "T1001"}}\n</tool_call>'
ANSWER = "The payment for {transaction_id} is marked as: {status}."


def _trained() -> bool:
    return (models.HOME / models.CATALOGUE[MODEL].pocket / models.SUMS).is_file()


def _typed(toolbox: Toolbox) -> Iterator[Event]:
    print("(the replies below are typed in, not sampled; the rest is real)")
    for call in parse_reply(REPLY, "hermes", toolbox.tools).calls:
        yield Call(call)
        observation = toolbox.call(call)
        yield Observed(observation, call)
        if observation.ok:
            answer = ANSWER.format(**observation.content)
            yield from (Text(answer), Answer(answer))
