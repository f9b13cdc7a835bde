"""How many conversations a second does the universe write on one core? Wanted: 1,000 at least.

    python benchmarks/universe.py     writes results/universe.json

There is no peer: other corpora are files. What bounds it is Python itself, drawing and joining strings.
"""

from __future__ import annotations

import time
from itertools import islice

from keeping import keep  # a script's folder is on its path

from fcutils.universe import conversations, corner, load

ROWS, RUNS, FLOOR = 3000, 3, 1000


def main() -> None:
    began = time.process_time()
    where = corner(load(), "train")
    loading = time.process_time() - began
    rates, requests = [], 0
    for run in range(RUNS):
        stream = conversations(where, run)
        list(islice(stream, 200))  # caches fill
        began = time.process_time()
        talks = list(islice(stream, ROWS))
        rates.append(round(ROWS / (time.process_time() - began)))
        requests += sum(len(talk.meta["kinds"]) for talk in talks)
    found = {
        "rows_a_second": {"wanted": FLOOR, "best": max(rates), "all": rates},
        "requests_a_row": round(requests / (RUNS * ROWS), 2),
        "seconds_to_load": round(loading, 2),
    }
    keep(found)
    print(
        f"{max(rates)} conversations a second of CPU time ({max(rates) / FLOOR:.2f} x what is wanted); loading {loading:.1f} s"
    )


if __name__ == "__main__":
    main()
