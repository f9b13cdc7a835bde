"""How many conversations a second does the universe write on one core? Wanted: 1,000 at least.

    python benchmarks/universe.py     writes results/universe.json

There is no peer: other corpora are files. What bounds it is Python itself, drawing and joining strings.
"""

from __future__ import annotations

import json
import os
import platform
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from fcutils.universe import conversations, corner, load

RESULTS = Path(__file__).parent / "results" / "universe.json"
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
        "command": "python benchmarks/universe.py",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rows_a_second": {"wanted": FLOOR, "best": max(rates), "all": rates},
        "requests_a_row": round(requests / (RUNS * ROWS), 2),
        "seconds_to_load": round(loading, 2),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"{max(rates)} conversations a second of CPU time ({max(rates) / FLOOR:.2f} x what is wanted); loading {loading:.1f} s"
    )


if __name__ == "__main__":
    main()
