"""What each use case's tools do, one after the other, and what they say when they cannot."""

import contextlib
import datetime as dt
import threading
from typing import get_args

import pytest
from pydantic import ValidationError

from fcutils import usecases
from fcutils.messages import Observation, ToolCall
from fcutils.usecases import assistant, education, health, shop, support
from fcutils.usecases.database import TODAY, Database, changes
from fcutils.usecases.recommend import BookRecommendation, Joke, SongRecommendation


@pytest.fixture
def db():
    return Database()


@pytest.fixture
def ask(db):
    tools = usecases.all_tools(db, on_approve=lambda call: True)

    def call(tool: str, /, **arguments) -> Observation:
        return tools.call(ToolCall(tool, arguments))

    return call


def refusal(observation: Observation, kind: str = "failed") -> str:
    assert observation.kind == kind
    return observation.content


# ---- assistant -----------------------------------------------------------------------------------------------------


def test_weather_in_both_units(ask):
    celsius, fahrenheit = (ask("get_weather", city="Paris", unit=unit).content for unit in ("celsius", "fahrenheit"))
    assert (celsius["temperature"], fahrenheit["temperature"]) == (11.0, 51.8)
    assert {**celsius, "temperature": 0, "unit": ""} == {**fahrenheit, "temperature": 0, "unit": ""}
    assert celsius["date"] == "2026-03-02"


def test_every_station_reports(ask, db):
    for row in db.rows("SELECT city FROM weather"):
        assert ask("get_weather", city=row["city"]).ok


def test_weather_for_a_misspelt_city(ask):
    assert "did you mean 'Lisbon'" in refusal(ask("get_weather", city="Lisbonn"))
    assert "celsius" in refusal(ask("get_weather", city="Paris", unit="kelvin"), "invalid_arguments")


def test_a_reminder_is_kept(ask, db):
    before = db.state()
    assert ask("set_reminder", text=" buy bread ", date="2026-03-05", time="07:15").content["text"] == "buy bread"
    (change,) = changes(before, db.state())
    assert change.row == {"text": "buy bread", "date": "2026-03-05", "time": "07:15"}


@pytest.mark.parametrize(
    ("date", "kind", "words"),
    [
        ("2026-03-01", "failed", "is past; today is Monday, 2026-03-02"),
        ("2031-01-01", "failed", "two years"),
        ("2026-02-30", "invalid_arguments", "'date'"),
        ("05.03.2026", "invalid_arguments", "such as 2026-03-05"),
        ("tomorrow", "invalid_arguments", "such as 2026-03-05"),
        ("1772668800", "invalid_arguments", "such as 2026-03-05"),
        (1772668800, "invalid_arguments", "date"),
        ("２026-03-05", "invalid_arguments", "such as 2026-03-05"),
    ],
)
def test_a_day_is_a_day_to_come(ask, db, date, kind, words):
    before = db.state()
    assert words in refusal(ask("set_reminder", text="buy bread", date=date), kind)
    assert db.state() == before


@pytest.mark.parametrize("time", ["24:00", "9:00", "0900", "09:60", "half past nine", "09:00Z", "09:00:30", "09:00\n", 9, None])
def test_a_time_is_a_time(ask, time):
    assert "such as 18:30" in refusal(ask("set_reminder", text="x", date="2026-03-05", time=time), "invalid_arguments") or (
        not isinstance(time, str)
    )


def test_today_can_be_set(ask, db):
    db.today = dt.date(2026, 3, 10)
    assert "today is Tuesday, 2026-03-10" in refusal(ask("set_reminder", text="x", date="2026-03-05"))
    assert ask("set_reminder", text="x", date="2026-03-10").ok
    assert ask("create_study_plan", topic="physics", days=1).content["sessions"][0]["date"] == "2026-03-10"


def test_an_appointment_can_be_had_once(ask, db):
    booking = {"service": "vet", "date": "2026-03-05", "time": "10:00"}
    assert ask("book_appointment", **booking).content["provider"] == "Riverside Animal Clinic"
    before = db.state()
    words = refusal(ask("book_appointment", **booking))
    assert "09:00, 10:30" in words and "10:00," not in words
    assert db.state() == before


@pytest.mark.parametrize(
    ("date", "time", "words"),
    [
        ("2026-03-08", "10:00", "nothing is free that day"),
        ("2026-03-05", "10:10", "free times"),
        ("2026-03-05", "17:00", "16:30"),
    ],
)
def test_there_are_no_appointments_on_sundays_between_times_and_after_hours(ask, date, time, words):
    assert words in refusal(ask("book_appointment", service="vet", date=date, time=time))


# ---- support -------------------------------------------------------------------------------------------------------


def test_t1001(ask):
    assert ask("retrieve_payment_status", transaction_id="T1001").content == {"transaction_id": "T1001", "status": "Paid"}
    assert ask("retrieve_payment_date", transaction_id="t1001").content == {"transaction_id": "T1001", "date": "2026-01-28"}


def test_a_payment_has_a_date_when_money_has_flowed(ask, db):
    for row in db.rows("SELECT id FROM payments"):
        status = ask("retrieve_payment_status", transaction_id=row["id"]).content["status"]
        date = ask("retrieve_payment_date", transaction_id=row["id"]).content["date"]
        assert (date is not None) == (status in ("Paid", "Refunded"))


def test_every_account_can_be_fetched(ask, db):
    for row in db.rows("SELECT id FROM customers"):
        assert ask("fetch_account_details", customer_id=row["id"]).content["customer_id"] == row["id"]
    assert ask("fetch_account_details", customer_id="C1003").content["balance_eur"] == -14.99


@pytest.mark.parametrize(
    ("product", "issue", "problem"),
    [
        ("router", "there is no internet connection at all", "The router has no internet connection"),
        ("laptop", "it won't charge", "The laptop's battery does not charge"),
        ("phone", "my phone's screen does not react to touch", "The touch screen does not react"),
        ("printer", "paper jam", "Paper jam"),
    ],
)
def test_troubleshooting_finds_the_right_guide(ask, product, issue, problem):
    guide = ask("troubleshoot_issue", product=product, issue=issue).content
    assert guide["problem"] == problem
    assert len(guide["steps"]) >= 3


def test_troubleshooting_says_what_it_can_help_with(ask):
    assert "Paper jam" in refusal(ask("troubleshoot_issue", product="printer", issue="zebra"))
    assert "'router'" in refusal(ask("troubleshoot_issue", product="toaster", issue="burns"), "invalid_arguments")


# ---- education -----------------------------------------------------------------------------------------------------


def test_resources_are_found_by_topic_and_kind(ask):
    found = ask("find_resource", topic="the periodic table", kind="video").content
    assert found[0]["title"] == "The periodic table explained"
    assert {resource["kind"] for resource in found} == {"video"}
    assert "resources on astronomy" in refusal(ask("find_resource", topic="zebra"))


def test_a_plan_spends_each_minute_once(ask, db):
    plan = ask("create_study_plan", topic="calculus", days=5, minutes_per_day=60).content
    tasks = [session["task"] for session in plan["sessions"]]
    assert tasks == ["Calculus in pictures (60 min)"] * 3 + [
        "Calculus in pictures (20 min)",
        "Go over your notes, and over what was hard",
    ]
    assert [session["date"] for session in plan["sessions"]] == [f"2026-03-{day:02d}" for day in range(2, 7)]
    assert len(db.state()["study_plans"]) == 2


def test_a_plan_begins_with_what_is_easy(ask):
    tasks = [s["task"] for s in ask("create_study_plan", topic="chemistry", days=28, minutes_per_day=240).content["sessions"]]
    assert tasks[0].startswith(("Chemistry of cooking", "The periodic table", "Laboratory safety"))
    assert any(task.startswith("Organic chemistry") for task in tasks[1:])


@pytest.mark.parametrize(
    ("days", "minutes"), [(0, 60), (29, 60), (5, 9), (5, 241), (True, 60), ("5", 60), (10**30, 60), (2.5, 60)]
)
def test_a_plan_has_bounds(ask, db, days, minutes):
    before = db.state()
    refusal(ask("create_study_plan", topic="physics", days=days, minutes_per_day=minutes), "invalid_arguments")
    assert db.state() == before


@pytest.mark.parametrize("topic", get_args(education.Topic))
def test_a_quiz_on_every_topic(ask, topic):
    quiz = ask("quiz_student", topic=topic, number_of_questions=6).content
    assert len(quiz["questions"]) == 6
    for question in quiz["questions"]:
        assert len(set(question["choices"].values())) == 4
        assert question["answer"] in question["choices"]
    assert all(q["level"] == "hard" for q in ask("quiz_student", topic=topic, level="hard").content["questions"])


# ---- shop ----------------------------------------------------------------------------------------------------------


def test_products_are_found_by_words_and_price(ask):
    assert [p["name"] for p in ask("search_products", query="a kettle, please").content] == ["Copper kettle"]
    found = ask("search_products", query="laptop", max_price=529).content
    assert {product["name"] for product in found} >= {"Finch 13 refurbished", "Wren 14 student laptop"}
    assert all(product["price_eur"] <= 529 for product in found)
    assert ask("search_products", query="zebra").content == []


def test_nothing_costs_more_than_the_highest_price(db):
    assert db.rows("SELECT max(price_cents) AS most FROM products")[0]["most"] <= shop.MOST_EUROS * 100


def test_a_price_is_compared_to_the_cent(ask):
    assert ask("search_products", query="kettle", max_price=54.0).content
    assert not ask("search_products", query="kettle", max_price=53.99).content


@pytest.mark.parametrize("price", [0, -5, True, "60", float("inf"), float("nan"), 1e9])
def test_a_price_is_a_sensible_number(ask, price):
    assert ask("search_products", query="kettle", max_price=price).kind == "invalid_arguments"


@pytest.mark.parametrize("category", get_args(shop.Category))
def test_the_best_rated_product_in_stock_is_recommended(ask, db, category):
    product = ask("recommend_product", category=category).content
    (best,) = db.rows("SELECT max(rating) AS r FROM products WHERE category = ? AND stock > 0", category)
    assert product["rating"] == best["r"]
    assert "the cheapest costs" in refusal(ask("recommend_product", category=category, budget=0.5))


def test_orders_are_told_with_their_items(ask, db):
    order = ask("check_order_status", order_id="ORD3001").content
    assert order["items"] == ["1 x Aria wireless headphones", "1 x The Patient Gardener"]
    assert (order["status"], order["total_eur"], order["discount_code"]) == ("delivered", 94.35, "WELCOME15")
    for row in db.rows("SELECT order_id, amount_cents FROM payments WHERE order_id IS NOT NULL"):
        assert ask("check_order_status", order_id=row["order_id"]).content["total_eur"] == row["amount_cents"] / 100


def test_a_discount_changes_code_order_and_payment_together(ask, db):
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
def test_a_discount_that_is_refused_changes_nothing_and_reveals_no_code(ask, db, order, code, words):
    before = db.state()
    said = refusal(ask("apply_discount_code", order_id=order, code=code))
    assert words in said and "VIP50" not in said
    assert db.state() == before


@pytest.mark.parametrize("code", ["SPRІNG10", "SPRING１０", "SPRıNG10", "ſPRING10", "SPRING10'--", "%", "SPRING10\u200b"])
def test_a_look_alike_of_a_code_is_no_code(ask, db, code):
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


def test_symptoms_are_kept_with_what_came_before(ask, db):
    diary = ask("track_symptoms", symptom="Headache", severity=7).content
    assert [entry["severity"] for entry in diary["earlier"]] == [3, 6, 4]
    assert diary["written"]["date"] == TODAY.isoformat()
    assert len(db.state()["symptoms"]) == 7


@pytest.mark.parametrize("severity", [0, 11, True, "5", 5.5, None])
def test_severity_is_from_one_to_ten(ask, db, severity):
    before = db.state()
    refusal(ask("track_symptoms", symptom="headache", severity=severity), "invalid_arguments")
    assert db.state() == before


def test_medicines_are_found_by_substance_and_brand(ask):
    assert ask("find_medication", name="Nurofen").content["name"] == "ibuprofen"
    assert ask("find_medication", name="AMOXICILLIN").content["prescription_needed"] is True
    assert "did you mean 'ibuprofen'" in refusal(ask("find_medication", name="ibuprofn"))


def test_no_dose_is_named_and_every_result_says_that_it_is_no_advice(ask, db):
    for row in db.rows("SELECT name FROM medicines"):
        observation = ask("find_medication", name=row["name"])
        assert "no medical advice" in observation.content["notice"]
        assert not any(sign.isdigit() for sign in observation.text.replace("type 2", ""))
    assert "no medical advice" in ask("track_symptoms", symptom="cough", severity=2).content["notice"]
    slot = ask("schedule_consultation", specialty="general practice", date="2026-03-05", time="10:20")
    assert "no medical advice" in slot.content["notice"]


def test_a_consultation_can_be_had_once(ask, db):
    wanted = {"specialty": "general practice", "date": "2026-03-05", "time": "10:20"}
    before = db.state()
    assert ask("schedule_consultation", **wanted).content["doctor"] == "Dr Hanna Lindqvist"
    assert [(change.table, change.kind) for change in changes(before, db.state())] == [("slots", "removed"), ("slots", "added")]
    before = db.state()
    assert "the next free times: 2026-03-" in refusal(ask("schedule_consultation", **wanted))
    assert db.state() == before


@pytest.mark.parametrize("specialty", get_args(health.Specialty))
def test_every_specialty_has_a_time_that_can_be_booked(ask, specialty):
    said = refusal(ask("schedule_consultation", specialty=specialty, date="2026-03-02", time="03:00"))
    date, time = said.split("the next free times: ")[1].split(", ")[0].split(" ")
    assert ask("schedule_consultation", specialty=specialty, date=date, time=time).ok


# ---- finance, search -----------------------------------------------------------------------------------------------


def test_tesla(ask):
    fundamentals = ask("get_stock_fundamentals", symbol="tsla").content
    price = ask("get_stock_price", symbol="TSLA").content
    assert (fundamentals["symbol"], fundamentals["company_name"]) == ("TSLA", "Tesla, Inc.")
    assert price == {
        "symbol": "TSLA",
        "price": 382.4,
        "currency": "USD",
        "as_of": "2026-02-27",
        "notice": "Invented figures for practice, frozen on that date: no market data and no advice.",
    }
    assert "did you mean 'TSLA'" in refusal(ask("get_stock_price", symbol="TSAL"))


def test_fundamentals_agree_with_prices(ask, db):
    for row in db.rows("SELECT symbol FROM stocks"):
        stock = ask("get_stock_fundamentals", symbol=row["symbol"]).content
        price = ask("get_stock_price", symbol=row["symbol"]).content["price"]
        assert stock["low_52_weeks_usd"] <= price <= stock["high_52_weeks_usd"]
        assert (stock["pe_ratio"] is None) == (stock["earnings_per_share_usd"] <= 0)
        assert "Invented" in stock["notice"] and stock["as_of"] == "2026-02-27"
        if stock["pe_ratio"]:
            assert stock["pe_ratio"] * stock["earnings_per_share_usd"] == pytest.approx(price, rel=0.01)


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("why does the sky look blue?", "Why the sky is blue"),
        ("capital city of Australia", "Capital of Australia"),
        ("who painted the Mona Lisa", "Who painted the Mona Lisa"),
        ("how do I bake sourdough", "How to bake sourdough bread"),
        ("height of Mount Everest", "The highest mountains"),
        ("what is function calling in language models", "Function calling with language models"),
        ("tomato growing", "Growing tomatoes"),
        ("404 status code", "What HTTP status codes mean"),
        ("LoRA fine-tuning", "How LoRA works"),
        ("Arctic tern", "Bird migration"),
    ],
)
def test_the_best_page_comes_first(ask, query, title):
    assert ask("web_search", query=query).content[0]["title"] == title


def test_every_page_is_found_by_its_title(ask, db):
    for row in db.rows("SELECT title FROM pages"):
        assert row["title"] in [page["title"] for page in ask("web_search", query=row["title"]).content]


def test_a_search_gives_as_many_pages_as_asked_and_none_where_nothing_fits(ask):
    assert len(ask("web_search", query="water", max_results=2).content) == 2
    assert ask("web_search", query="qwertyuiop").content == []
    assert ask("web_search", query="water", max_results=11).kind == "invalid_arguments"


# ---- recommendations -----------------------------------------------------------------------------------------------

GOOD = {
    Joke: {"setup": "Why did the bicycle fall over?", "punchline": "Because it was two-tired."},
    BookRecommendation: {"interest": "Crime Thriller", "recommended_book": "The Big Sleep"},
    SongRecommendation: {"genre": "Rock ", "song": "Heroes"},
}


@pytest.mark.parametrize("model", GOOD)
def test_a_good_recommendation_is_taken(ask, model):
    observation = ask(model.__name__, **GOOD[model])
    assert observation.content == {**GOOD[model], **({"genre": "rock"} if model is SongRecommendation else {})}
    assert model(**GOOD[model])


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        (Joke, {"setup": "A man walks into a bar."}, "question mark"),
        (Joke, {"setup": " ? ?"}, "question mark"),
        (Joke, {"punchline": ""}, "empty"),
        (Joke, {"punchline": "why did the bicycle fall over"}, "repeats"),
        (Joke, {"rating": 5}, "rating"),
        (BookRecommendation, {"interest": " "}, "empty"),
        (BookRecommendation, {"recommended_book": "\t"}, "empty"),
        (BookRecommendation, {"recommended_book": "crime thriller."}, "name a book"),
        (BookRecommendation, {"recommended_book": ["The Big Sleep"]}, "recommended_book"),
        (SongRecommendation, {"genre": "polka metal"}, "'inspirational'"),
        (SongRecommendation, {"genre": None}, "genre"),
        (SongRecommendation, {"song": "Rock!"}, "name a song"),
        (SongRecommendation, {"song": ""}, "empty"),
        (SongRecommendation, {"song": "la" * 101}, "202 characters"),
    ],
)
def test_a_bad_recommendation_is_told_why(ask, model, change, words):
    arguments = GOOD[model] | change
    with pytest.raises(ValidationError):
        model(**arguments)
    assert words in refusal(ask(model.__name__, **arguments), "invalid_arguments")


# ---- the words of the schemas and the rows ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "query"),
    [
        (assistant.Service, "SELECT name FROM services"),
        (assistant.Sky, "SELECT sky FROM weather"),
        (support.Device, "SELECT product FROM guides"),
        (support.Status, "SELECT status FROM payments"),
        (education.Topic, "SELECT topic FROM questions"),
        (education.Kind, "SELECT kind FROM resources"),
        (shop.Category, "SELECT category FROM products"),
        (health.Specialty, "SELECT specialty FROM doctors"),
    ],
)
def test_a_closed_set_is_what_the_rows_have(db, closed, query):
    assert {value for row in db.rows(query) for value in row.values()} == set(get_args(closed))
