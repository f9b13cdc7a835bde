"""The database: seeds that agree with each other, transactions that leave no half, states that can be compared."""

import datetime as dt
import json
import multiprocessing
import pickle
import sqlite3
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox
from fcutils.usecases import database
from fcutils.usecases.database import SEEDS, TODAY, Database, DatabaseError, changes

REMINDER = "INSERT INTO reminders (text, date, time) VALUES (?, ?, ?)"


@pytest.fixture
def db():
    return Database()


def remind(db: Database, text: str) -> None:
    with db.transaction():
        db.write(REMINDER, text, "2026-03-05", "09:00")


# ---- seeds ---------------------------------------------------------------------------------------------------------


def test_there_are_as_many_rows_as_promised(db):
    count = {table: len(rows) for table, rows in db.state().items()}
    least = {"customers": 20, "payments": 40, "products": 40, "orders": 30, "doctors": 10, "slots": 60, "medicines": 25}
    least |= {"resources": 40, "questions": 40, "weather": 40, "stocks": 15, "pages": 60, "guides": 20, "discount_codes": 8}
    assert {table: count[table] for table in least if count[table] < least[table]} == {}


def test_t1001_is_paid_and_says_when(db):
    (payment,) = db.rows("SELECT * FROM payments WHERE id = 'T1001'")
    assert (payment["status"], payment["paid_on"]) == ("Paid", "2026-01-28")


def test_every_order_costs_what_its_payment_says(db):
    query = "SELECT order_id, sum(quantity * price_cents) AS cents FROM order_lines JOIN products ON product_id = id GROUP BY 1"
    gross = {row["order_id"]: row["cents"] for row in db.rows(query)}
    percent = {row["code"]: row["percent"] for row in db.rows("SELECT * FROM discount_codes")}
    paid = {row["order_id"]: row["amount_cents"] for row in db.rows("SELECT * FROM payments WHERE order_id IS NOT NULL")}
    wanted = {}
    for order in db.rows("SELECT * FROM orders"):
        off = percent.get(order["discount_code"], 0)
        wanted[order["id"]] = (gross[order["id"]] * (100 - off) + 50) // 100
    assert paid == wanted


def test_payments_follow_their_orders(db):
    allowed = {
        "open": {"Pending", "Unpaid"},
        "packed": {"Paid"},
        "shipped": {"Paid"},
        "delivered": {"Paid"},
        "returned": {"Refunded"},
        "cancelled": {"Cancelled"},
    }
    rows = db.rows("SELECT orders.status AS o, payments.status AS p FROM orders JOIN payments ON order_id = orders.id")
    assert len(rows) == 34
    assert [row for row in rows if row["p"] not in allowed[row["o"]]] == []


def test_what_has_happened_happened_before_today_and_what_is_free_comes_after(db):
    past = db.rows("SELECT paid_on AS day FROM payments UNION SELECT ordered_on FROM orders UNION SELECT date FROM symptoms")
    past += db.rows("SELECT measured_on AS day FROM weather UNION SELECT as_of FROM stocks UNION SELECT since FROM customers")
    coming = db.rows("SELECT date AS day FROM slots UNION SELECT date FROM appointments UNION SELECT date FROM reminders")
    assert [row for row in past if row["day"] and dt.date.fromisoformat(row["day"]) > TODAY] == []
    assert [row for row in coming if dt.date.fromisoformat(row["day"]) <= TODAY] == []


def test_a_bad_seed_is_named_with_file_and_line(tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "tables.sql").write_text("CREATE TABLE animals (name TEXT PRIMARY KEY, legs INTEGER CHECK (legs > 0));")
    (tmp_path / "zoo" / "animals.csv").write_text("name,legs\nzebra,4\nsnake,0\n")
    monkeypatch.setattr(database, "SEEDS", tmp_path)
    with pytest.raises(DatabaseError, match=r"animals\.csv, line 3: CHECK"):
        Database()


def test_a_seed_that_refers_to_nothing_is_named(tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    tables = (
        "CREATE TABLE cages (id TEXT PRIMARY KEY); CREATE TABLE animals (name TEXT PRIMARY KEY, cage TEXT REFERENCES cages);"
    )
    (tmp_path / "zoo" / "tables.sql").write_text(tables)
    (tmp_path / "zoo" / "animals.csv").write_text("name,cage\nzebra,C9\n")
    monkeypatch.setattr(database, "SEEDS", tmp_path)
    with pytest.raises(DatabaseError, match=r"animals\.csv: row 1 .* cages\.csv"):
        Database()


def test_missing_seeds_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "SEEDS", tmp_path / "nowhere")
    with pytest.raises(DatabaseError, match="whole repository"):
        Database()


def test_the_seeds_are_read_only_by_the_database(db):
    """A path in a value is a value: nothing in a row makes the database read or write a file."""
    before = {path: path.read_bytes() for path in SEEDS.rglob("*") if path.is_file()}
    remind(db, "../../../data/usecases/shop/products.csv")
    db.reset()
    assert {path: path.read_bytes() for path in SEEDS.rglob("*") if path.is_file()} == before


# ---- transactions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_block_that_raises_leaves_nothing(db, error):
    before = db.state()
    with pytest.raises(error), db.transaction():
        db.write(REMINDER, "half", "2026-03-05", "09:00")
        db.write("DELETE FROM weather")
        assert db.row("SELECT * FROM weather") is None
        raise error
    assert db.state() == before


def test_a_statement_that_fails_takes_the_others_with_it(db):
    before = db.state()
    with pytest.raises(sqlite3.IntegrityError), db.transaction():
        db.write(REMINDER, "half", "2026-03-05", "09:00")
        db.write("INSERT INTO appointments (service, date, time) VALUES ('exorcism', '2026-03-05', '00:00')")
    assert db.state() == before


def test_writing_outside_a_transaction_is_refused(db):
    before = db.state()
    with pytest.raises(DatabaseError, match="transaction"):
        db.write(REMINDER, "half", "2026-03-05", "09:00")
    assert db.state() == before


def test_a_transaction_inside_a_transaction_is_refused_and_nothing_remains(db):
    before = db.state()
    with pytest.raises(sqlite3.OperationalError), db.transaction():
        db.write(REMINDER, "outer", "2026-03-05", "09:00")
        remind(db, "inner")
    assert db.state() == before


def test_reset_inside_a_transaction_is_refused_rather_than_waiting_for_itself(db):
    with pytest.raises(DatabaseError, match="after the transaction"), db.transaction():
        db.reset()


def test_two_statements_in_one_are_refused(db):
    before = db.state()
    with pytest.raises((sqlite3.ProgrammingError, sqlite3.Warning)):
        db.rows("SELECT 1; DROP TABLE weather")
    assert db.state() == before


def test_threads_take_turns(db):
    def work(name):
        for number in range(25):
            with db.transaction():
                db.write(REMINDER, f"{name}-{number}", "2026-03-05", "09:00")
                assert db.rows("SELECT count(*) AS n FROM reminders")[0]["n"] >= 1

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(db.state()["reminders"]) == 3 + 8 * 25


def test_nobody_sees_the_inside_of_anothers_transaction(db):
    seen, inside = [], threading.Event()

    def look():
        inside.wait()
        seen.append(db.rows("SELECT count(*) AS n FROM reminders")[0]["n"])

    thread = threading.Thread(target=look)
    thread.start()
    with pytest.raises(ValueError), db.transaction():
        db.write(REMINDER, "never", "2026-03-05", "09:00")
        inside.set()
        time.sleep(0.05)
        raise ValueError
    thread.join()
    assert seen == [3]


def _count_up(path, together):
    """Read, then write what was read: right only if nobody comes in between."""
    db = Database(path)
    together.wait()
    for _ in range(50):
        with db.transaction():
            (product,) = db.rows("SELECT stock FROM products WHERE id = 'P104'")
            time.sleep(0.001)
            db.write("UPDATE products SET stock = ? WHERE id = 'P104'", product["stock"] + 1)


def test_processes_take_turns_on_a_file(tmp_path):
    path = tmp_path / "shared.db"
    db = Database(path)
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    workers = [context.Process(target=_count_up, args=(path, together)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert db.rows("SELECT stock FROM products WHERE id = 'P104'") == [{"stock": 100}]


def test_a_tool_that_is_killed_in_the_middle_leaves_nothing(tmp_path):
    db = Database(tmp_path / "shop.db")
    tools = Toolbox()

    @tools.tool(timeout=0.3)
    def sells_out_and_hangs(product: str) -> None:
        """Sell out.

        Args:
            product: Which product
        """
        import time

        with db.transaction():
            db.write("UPDATE products SET stock = 0 WHERE id = ?", product)
            db.write("DELETE FROM reminders")
            time.sleep(60)

    @tools.tool(timeout=20)
    def sells_one(product: str) -> int:
        """Sell one.

        Args:
            product: Which product
        """
        with db.transaction():
            db.write("UPDATE products SET stock = stock - 1 WHERE id = ?", product)
            return db.rows("SELECT stock FROM products WHERE id = ?", product)[0]["stock"]

    before = db.state()
    assert tools.call(ToolCall("sells_out_and_hangs", {"product": "P101"})).kind == "timed_out"
    assert db.state() == before
    assert tools.call(ToolCall("sells_one", {"product": "P101"})).content == 33
    assert db.rows("SELECT stock FROM products WHERE id = 'P101'")[0]["stock"] == 33


# ---- files, copies, resets -----------------------------------------------------------------------------------------


def test_a_file_is_seeded_once_and_keeps_what_was_written(tmp_path):
    first = Database(tmp_path / "my data.db")
    remind(first, "buy bread")
    first.today = dt.date(2026, 4, 1)
    kept = first.state()
    first.close()
    again = Database(tmp_path / "my data.db")
    assert again.state() == kept
    assert again.today == dt.date(2026, 4, 1)


def test_a_copy_goes_its_own_way(db, tmp_path):
    remind(db, "buy bread")
    twins = [db.copy(), db.copy(tmp_path / "copy.db")]
    before = db.state()
    for twin in twins:
        assert twin.state() == before
        twin.reset()
        assert twin.state() != before
    assert db.state() == before


def test_a_copy_overwrites_nothing(db, tmp_path):
    path = tmp_path / "precious.txt"
    path.write_text("precious")
    with pytest.raises(DatabaseError, match="exists already"):
        db.copy(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("content", [b"name,legs\nzebra,4\n", b"SQLite format 3\x00" + b"\xff" * 200])
def test_a_file_of_somebody_elses_is_left_alone(tmp_path, content):
    path = tmp_path / "zoo.csv"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="choose another name"):
        Database(path)
    assert path.read_bytes() == content


def test_a_database_of_another_kind_is_left_alone(tmp_path):
    path = tmp_path / "zoo.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE animals (name TEXT)")
    other.commit()
    other.close()
    content = path.read_bytes()
    with pytest.raises(DatabaseError, match="lacks the table 'accounts'"):
        Database(path)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DatabaseError, match="folder exists"):
        Database(tmp_path / "no" / "such" / "folder.db")


def test_reset_undoes_everything(db):
    fresh = db.state()
    db.today = dt.date(2030, 1, 1)
    with db.transaction():
        db.write("DELETE FROM order_lines")
        db.write("CREATE TABLE stray (x)")
    assert db.state() != fresh
    db.reset()
    assert db.state() == fresh
    assert db.today == TODAY


def test_only_a_database_in_a_file_travels(db, tmp_path):
    with pytest.raises(TypeError, match="in a file"):
        pickle.dumps(db)
    stored = Database(tmp_path / "shop.db")
    remind(stored, "buy bread")
    assert pickle.loads(pickle.dumps(stored)).state() == stored.state()


# ---- state ---------------------------------------------------------------------------------------------------------

TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8), max_size=5)


@settings(max_examples=10, deadline=None)
@given(TEXTS, st.randoms())
def test_a_state_does_not_depend_on_the_order_of_what_was_done(texts, random):
    one, other, shuffled = Database(), Database(), list(texts)
    random.shuffle(shuffled)
    for text in texts:
        remind(one, text)
    for text in shuffled:
        remind(other, text)
    assert one.state() == other.state()
    assert changes(one.state(), other.state()) == []
    assert len(changes(Database().state(), one.state())) == len(texts)


def test_doing_a_thing_twice_is_not_doing_it_once(db):
    remind(db, "buy bread")
    once = db.state()
    remind(db, "buy bread")
    assert db.state() != once
    assert len(changes(once, db.state())) == 1


def test_changes_are_named(db):
    before = db.state()
    remind(db, "buy bread")
    with db.transaction():
        db.write("UPDATE discount_codes SET uses_left = 0 WHERE code = 'VIP50'")
    assert [str(change).split(" ", 2)[:2] for change in changes(before, db.state())] == [
        ["-", "discount_codes:"],
        ["+", "discount_codes:"],
        ["+", "reminders:"],
    ]
    assert changes(db.state(), db.state()) == []


def test_a_state_is_json(db):
    assert json.loads(json.dumps(db.state())) == db.state()
