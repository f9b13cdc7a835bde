"""What a model can do, and how sure one may be.

`evaluate(engine, rows)` gives a `Report`: shares with intervals, misses by name, every turn to be read. `compare(a, b)` says
whether two reports differ. `dialogues.run_dialogues` scores what became of a database and what was said, not the calls.

The way through the files: `rows.py` (what is asked) -> `replies.py` (asked once, resumable) -> `match.py` (the AST match) ->
`misses.py` and `wrong_value.py` (why not) -> `report.py` (how sure). `run.py` puts them together; `bfcl.py` reads the Berkeley
benchmark's own layout; `dialogues.py` plays whole conversations over `usecases/`; `command.py` is `python -m fcutils evaluate`
and `compare`.
"""

from fcutils.evaluate.match import LEFT_OUT, Want, matches, want
from fcutils.evaluate.misses import REASONS, Miss, Verdict, judge
from fcutils.evaluate.replies import Replies, RepliesError
from fcutils.evaluate.report import (
    SCORES,
    Difference,
    Outcome,
    Report,
    ReportError,
    Score,
    compare,
    differences,
    mcnemar,
    pass_hat,
    side_by_side,
    wilson,
)
from fcutils.evaluate.rows import Ask, DataError, asks_of, first_exchange, read_rows
from fcutils.evaluate.run import evaluate

__all__ = [
    "LEFT_OUT",
    "REASONS",
    "SCORES",
    "Ask",
    "DataError",
    "Difference",
    "Miss",
    "Outcome",
    "Replies",
    "RepliesError",
    "Report",
    "ReportError",
    "Score",
    "Verdict",
    "Want",
    "asks_of",
    "compare",
    "differences",
    "evaluate",
    "first_exchange",
    "judge",
    "matches",
    "mcnemar",
    "pass_hat",
    "read_rows",
    "side_by_side",
    "want",
    "wilson",
]
