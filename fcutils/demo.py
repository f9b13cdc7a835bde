"""`python -m fcutils demo`: one question in the terminal, with its call, its result and its answer.

The tool, its database, the reading of the call and the check of its arguments are real. The two replies are written by hand,
and the demo says so: no model runs here yet.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fcutils import usecases
from fcutils.parsing import parse_reply

QUESTION = "Has the payment for transaction T1001 gone through?"
REPLY = '<tool_call>\n{"name": "retrieve_payment_status", "arguments": {"transaction_id": "T1001"}}\n</tool_call>'
ANSWER = "The payment for {transaction_id} is marked as: {status}."


def run_demo(arguments: Sequence[str] = ()) -> int:
    argparse.ArgumentParser(prog="python -m fcutils demo", description=QUESTION).parse_args(arguments)
    toolbox = usecases.load("support")
    print("(the replies below are typed in, not sampled; the rest is real)\n")
    print(f"user       {QUESTION}")
    for call in parse_reply(REPLY, "hermes", toolbox.tools).calls:
        print(f"call       {call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})")
        observation = toolbox.call(call)
        print(f"result     {observation.text}")
        if not observation.ok:
            return 1
        print(f"assistant  {ANSWER.format(**observation.content)}")
    return 0
