"""The two use cases in which most can go wrong: orders and discounts, symptoms and consultations."""

import contextlib
import threading
from typing import get_args

import pytest
from usecases_samples import ask, fresh, refusal

from fcutils.usecases import health, shop
from fcutils.usecases.database import TODAY, changes


@pytest.fixture(autouse=True)
def db():
    return fresh()


# ---- shop ----------------------------------------------------------------------------------------------------------


def test_products_are_found_by_words_and_price():
    assert [p["name"] for p in ask("search_products", query="a kettle, please").content] == ["Copper kettle"]
    found = ask("search_products", query="laptop", max_price=529).content
    assert {product["name"] for product in found} >= {"Finch 13 refurbished", "Wren 14 student laptop"}
    assert all(product["price_eur"] <= 529 for product in found)
    assert ask("search_products", query="zebra").content == []


def test_nothing_costs_more_than_the_highest_price(db):
    assert db.rows("SELECT max(price_cents) AS most FROM products")[0]["most"] <= shop.MOST_EUROS * 100


def test_a_price_is_compared_to_the_cent():
    assert ask("search_products", query="kettle", max_price=54.0).content
    assert not ask("search_products", query="kettle", max_price=53.99).content


@pytest.mark.parametrize("price", [0, -5, True, "60", float("inf"), float("nan"), 1e9])
def test_a_price_is_a_sensible_number(price):
    assert ask("search_products", query="kettle", max_price=price).kind == "invalid_arguments"


@pytest.mark.parametrize("category", get_args(shop.Category))
def test_the_best_rated_product_in_stock_is_recommended(db, category):
    product = ask("recommend_product", category=category).content
    (best,) = db.rows("SELECT max(rating) AS r FROM products WHERE category = ? AND stock > 0", category)
    assert product["rating"] == best["r"]
    assert "the cheapest costs" in refusal(ask("recommend_product", category=category, budget=0.5))


def test_orders_are_told_with_their_items(db):
    order = ask("check_order_status", order_id="ORD3001").content
    assert order["items"] == ["1 x Aria wireless headphones", "1 x The Patient Gardener"]
    assert (order["status"], order["total_eur"], order["discount_code"]) == ("delivered", 94.35, "WELCOME15")
    for row in db.rows("SELECT order_id, amount_cents FROM payments WHERE order_id IS NOT NULL"):
        assert ask("check_order_status", order_id=row["order_id"]).content["total_eur"] == row["amount_cents"] / 100


def test_a_discount_changes_code_order_and_payment_together(db):
    before = db.state()
    answer = ask("apply_discount_code", order_id="ORD3025", code="spring10").content
    assert (answer["total_before_eur"], answer["total_eur"]) == (100.0, 90.0)
    found = changes(before, db.state())
    assert [(change.table, change.kind) for change in found] == [
        (table, kind) for table in ("discount_codes", "orders", "payments") for kind in ("removed", "added")
    ]
    assert found[1].row["uses_left"] == 249
    assert found[3].row["discount_code"] == "SPRING10"
    assert found[5].row["amount_cents"] == 9000


@pytest.mark.parametrize(
    ("order", "code", "words"),
    [
        ("ORD3025", "SPRING11", "no discount code SPRING11"),
        ("ORD3025", "WINTER25", "valid from 2025-12-01 to 2026-01-31; today is 2026-03-02"),
        ("ORD3025", "SUMMER20", "valid from 2026-06-01"),
        ("ORD3025", "FRIENDS30", "used as often"),
        ("ORD3029", "SPRING10", "20.00 euros or more; this one has 9.00"),
        ("ORD3027", "WELCOME15", "has the code SPRING10 already"),
        ("ORD3021", "SPRING10", "is packed"),
        ("ORD3001", "SPRING10", "is delivered"),
        ("ORD9999", "SPRING10", "no order ORD9999"),
    ],
)
def test_a_discount_that_is_refused_changes_nothing_and_reveals_no_code(db, order, code, words):
    before = db.state()
    said = refusal(ask("apply_discount_code", order_id=order, code=code))
    assert words in said and "VIP50" not in said
    assert db.state() == before


@pytest.mark.parametrize("code", ["SPRІNG10", "SPRING１０", "SPRıNG10", "ſPRING10", "SPRING10'--", "%", "SPRING10\u200b"])
def test_a_look_alike_of_a_code_is_no_code(db, code):
    before = db.state()
    refusal(ask("apply_discount_code", order_id="ORD3025", code=code), "invalid_arguments")
    assert db.state() == before


def test_a_code_with_one_use_left_is_used_once(db):
    """Many at the same time, past the toolbox, which would have let them in one by one."""
    tools, took = shop.Shop(db), []
    orders = [f"ORD{number}" for number in range(3025, 3035)]

    def use(order):
        with contextlib.suppress(ValueError):
            took.append(tools.apply_discount_code(order, "VIP50"))

    threads = [threading.Thread(target=use, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 1
    assert db.rows("SELECT uses_left FROM discount_codes WHERE code = 'VIP50'")[0]["uses_left"] == 0
    assert db.rows("SELECT count(*) AS n FROM orders WHERE discount_code = 'VIP50'")[0]["n"] == 1


# ---- health --------------------------------------------------------------------------------------------------------


def test_symptoms_are_kept_with_what_came_before(db):
    diary = ask("track_symptoms", symptom="Headache", severity=7).content
    assert [entry["severity"] for entry in diary["earlier"]] == [3, 6, 4]
    assert diary["written"]["date"] == TODAY.isoformat()
    assert len(db.state()["symptoms"]) == 7


@pytest.mark.parametrize("severity", [0, 11, True, "5", 5.5, None])
def test_severity_is_from_one_to_ten(db, severity):
    before = db.state()
    refusal(ask("track_symptoms", symptom="headache", severity=severity), "invalid_arguments")
    assert db.state() == before


def test_medicines_are_found_by_substance_and_brand():
    assert ask("find_medication", name="Nurofen").content["name"] == "ibuprofen"
    assert ask("find_medication", name="AMOXICILLIN").content["prescription_needed"] is True
    assert "did you mean 'ibuprofen'" in refusal(ask("find_medication", name="ibuprofn"))


def test_no_dose_is_named_and_every_result_says_that_it_is_no_advice(db):
    for row in db.rows("SELECT name FROM medicines"):
        observation = ask("find_medication", name=row["name"])
        assert "no medical advice" in observation.content["notice"]
        assert not any(sign.isdigit() for sign in observation.text.replace("type 2", ""))
    assert "no medical advice" in ask("track_symptoms", symptom="cough", severity=2).content["notice"]
    slot = ask("schedule_consultation", specialty="general practice", date="2026-03-05", time="10:20")
    assert "no medical advice" in slot.content["notice"]


def test_a_consultation_can_be_had_once(db):
    wanted = {"specialty": "general practice", "date": "2026-03-05", "time": "10:20"}
    before = db.state()
    assert ask("schedule_consultation", **wanted).content["doctor"] == "Dr Hanna Lindqvist"
    assert [(change.table, change.kind) for change in changes(before, db.state())] == [("slots", "removed"), ("slots", "added")]
    before = db.state()
    assert "the next free times: 2026-03-" in refusal(ask("schedule_consultation", **wanted))
    assert db.state() == before


@pytest.mark.parametrize("specialty", get_args(health.Specialty))
def test_every_specialty_has_a_time_that_can_be_booked(specialty):
    said = refusal(ask("schedule_consultation", specialty=specialty, date="2026-03-02", time="03:00"))
    date, time = said.split("the next free times: ")[1].split(", ")[0].split(" ")
    assert ask("schedule_consultation", specialty=specialty, date=date, time=time).ok
