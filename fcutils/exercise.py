"""The check behind an exercise: it says what is wrong and never breaks a run.

Knows only how a check is run and what it prints. What is right, the notebook's own check cell says.
"""

from __future__ import annotations

from collections.abc import Callable


def exercise(check: Callable[[], None]) -> bool:
    """Runs a function of assertions at once (as a decorator) and prints "Solved.", or "Not yet:" and what is wrong."""
    try:
        check()
    except AssertionError as error:
        print(f"Not yet: {error}")
    except Exception as error:
        print(f"Not yet: the check stopped with {type(error).__name__}: {error}")
    else:
        print("Solved.")
        return True
    return False
