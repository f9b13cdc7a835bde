"""The embedded database behind the use cases: SQLite in memory or in a file, seeded from `data/usecases/`.

Knows tables, transactions, state, and which day it is. Does not know what the rows mean: each use case has its own. A folder
of seeds holds `tables.sql` and one CSV file for each table that begins with rows; an empty cell is NULL.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SEEDS = Path(__file__).resolve().parents[2] / "data" / "usecases"
TODAY = dt.date(2026, 3, 2)  # a Monday: the day that every fresh database takes for today
_WAIT = 30.0  # seconds for another process to finish with the file

Row = dict[str, Any]
State = dict[str, list[Row]]  # the rows of every table


class DatabaseError(Exception):
    """A database that cannot be opened, seeded or copied: says which file, and what to do."""


class Database:
    """One database for all tools that hold it. Threads take turns; a transaction has it to itself until it ends.

    Without a path it lives in memory. With one it is the file's, which is made and seeded if there is none. Only a database in
    a file can follow a tool into a process of its own; several processes can use it at once.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path).absolute()
        known = self.path is not None and self.path.exists() and self.path.stat().st_size > 0
        self._turn = threading.RLock()
        self._connection = self._connect()
        if known:
            self._check()
        else:
            self.reset()

    def rows(self, query: str, *values: Any) -> list[Row]:
        """The rows that a query finds. Values stand in it as question marks, never as text."""
        with self._turn:
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: Any) -> Row | None:
        """The first row that a query finds."""
        return next(iter(self.rows(query, *values)), None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is done when the block ends, and none of it if the block raises or the process dies."""
        with self._turn:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def write(self, statement: str, *values: Any) -> int:
        """Run one statement that changes rows, inside a transaction. Gives the number of the last row that was added."""
        with self._turn:
            if not self._connection.in_transaction:
                raise DatabaseError("write only inside `with database.transaction():`, so that a failure leaves no half of it")
            return self._connection.execute(statement, values).lastrowid or 0

    @property
    def today(self) -> dt.date:
        """The day that tools take for today. It never moves by itself."""
        row = self.row("SELECT value FROM settings WHERE name = 'today'")
        assert row is not None
        return dt.date.fromisoformat(row["value"])

    @today.setter
    def today(self, day: dt.date) -> None:
        with self.transaction():
            self.write("UPDATE settings SET value = ? WHERE name = 'today'", day.isoformat())

    def state(self) -> State:
        """The rows of all tables, in an order that does not depend on who came first.

        For the same reason without the numbers that the database gives out by itself (an INTEGER PRIMARY KEY). Two databases in
        which the same was done have equal states.
        """
        with self.transaction():
            return {table: sorted(self._content(table), key=_key) for table in _tables(self._connection)}

    def reset(self) -> None:
        """Back to the seeds and to `TODAY`, whatever was done."""
        with self._turn, closing(_seeded()) as seeded:
            if self._connection.in_transaction:
                raise DatabaseError("reset after the transaction, not inside it")
            seeded.backup(self._connection)

    def copy(self, path: str | Path | None = None) -> Database:
        """The same rows in a database of their own: in memory, or in a file that must not exist yet."""
        if path is not None and Path(path).exists():
            raise DatabaseError(f"{path} exists already; delete it or choose another name")
        twin = Database(path)
        with self._turn:
            self._connection.backup(twin._connection)
        return twin

    def close(self) -> None:
        """Let go of the file, or forget what was in memory."""
        with self._turn:
            self._connection.close()

    def __reduce__(self) -> tuple[type[Database], tuple[Path]]:
        if self.path is None:
            raise TypeError("a database in memory stays in its process; use one in a file: Database('shop.db')")
        return Database, (self.path,)

    def _connect(self) -> sqlite3.Connection:
        try:  # autocommit, so that only `transaction` opens transactions
            where = self.path or ":memory:"
            connection = sqlite3.connect(where, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise DatabaseError(
                f"{self.path} cannot be opened ({error}): check that its folder exists and may be written"
            ) from None
        connection.row_factory = _as_dict
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _check(self) -> None:
        """Refuse a file of somebody else's, or of an older version, before anything happens to it."""
        try:
            there = set(_tables(self._connection))
        except sqlite3.DatabaseError:
            there = set()
        with closing(_seeded()) as seeded:
            missing = [table for table in _tables(seeded) if table not in there]
        if missing:
            self.close()
            raise DatabaseError(
                f"{self.path} is no database of the use cases, or of another version (it lacks the table {missing[0]!r}); "
                "choose another name, or delete the file if nothing in it is needed"
            )

    def _content(self, table: str) -> list[Row]:
        columns = self.rows(f'PRAGMA table_info("{table}")')
        given_out = {column["name"] for column in columns if column["pk"] and column["type"] == "INTEGER"}
        return [
            {name: value for name, value in row.items() if name not in given_out}
            for row in self.rows(f'SELECT * FROM "{table}"')
        ]


@dataclass(frozen=True, slots=True)
class Change:
    """A row that came or went. One that was changed has gone in its old form and come in its new one."""

    table: str
    kind: Literal["added", "removed"]
    row: Row

    def __str__(self) -> str:
        return f"{'+' if self.kind == 'added' else '-'} {self.table}: {_key(self.row)}"


def changes(before: State, after: State) -> list[Change]:
    """What happened between two states, table by table."""
    found: list[Change] = []
    for table in sorted(before.keys() | after.keys()):
        old, new = (Counter(map(_key, state.get(table, ()))) for state in (before, after))
        found += [Change(table, "removed", json.loads(row)) for row in (old - new).elements()]
        found += [Change(table, "added", json.loads(row)) for row in (new - old).elements()]
    return found


def _key(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


def _as_dict(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


def _tables(connection: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [row["name"] for row in connection.execute(query)]


# ---- seeds ---------------------------------------------------------------------------------------------------------


def _seeded() -> sqlite3.Connection:
    """A fresh database in memory with all seeds in it."""
    if not SEEDS.is_dir():
        raise DatabaseError(f"the seed rows are missing: {SEEDS} is no folder; get the whole repository, not the package alone")
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = _as_dict
    connection.execute("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute("INSERT INTO settings VALUES ('today', ?)", (TODAY.isoformat(),))
    for path in sorted(SEEDS.glob("*/tables.sql")):
        try:
            connection.executescript(path.read_text(encoding="utf-8"))
        except sqlite3.Error as error:
            raise DatabaseError(f"{path}: {error}") from None
    connection.execute("BEGIN")
    for path in sorted(SEEDS.glob("*/*.csv")):
        _fill(connection, path)
    connection.execute("COMMIT")
    for fault in connection.execute("PRAGMA foreign_key_check"):
        raise DatabaseError(f"{fault['table']}.csv: row {fault['rowid']} names a row that {fault['parent']}.csv does not have")
    return connection


def _fill(connection: sqlite3.Connection, path: Path) -> None:
    """The rows of one CSV file into the table of its name."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        columns = next(reader)
        marks = ", ".join("?" * len(columns))
        statement = f'INSERT INTO "{path.stem}" ({", ".join(columns)}) VALUES ({marks})'
        for cells in reader:
            try:
                connection.execute(statement, [cell or None for cell in cells])
            except sqlite3.Error as error:
                raise DatabaseError(f"{path}, line {reader.line_num}: {error}") from None
