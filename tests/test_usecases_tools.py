"""What each use case's tools do, one after the other, and what they say when they cannot."""

import datetime as dt
from typing import get_args

import pytest
from pydantic import ValidationError
from usecases_samples import ask, fresh, refusal

from fcutils.usecases import assistant, education, health, shop, support
from fcutils.usecases.database import changes
from fcutils.usecases.recommend import BookRecommendation, Joke, SongRecommendation


@pytest.fixture(autouse=True)
def db():
    return fresh()


# ---- assistant -----------------------------------------------------------------------------------------------------


def test_weather_in_both_units():
    celsius, fahrenheit = (ask("get_weather", city="Paris", unit=unit).content for unit in ("celsius", "fahrenheit"))
    assert (celsius["temperature"], fahrenheit["temperature"]) == (11.0, 51.8)
    assert {**celsius, "temperature": 0, "unit": ""} == {**fahrenheit, "temperature": 0, "unit": ""}
    assert celsius["date"] == "2026-03-02"


def test_every_station_reports(db):
    for row in db.rows("SELECT city FROM weather"):
        assert ask("get_weather", city=row["city"]).ok


def test_weather_for_a_misspelt_city():
    assert "did you mean 'Lisbon'" in refusal(ask("get_weather", city="Lisbonn"))
    assert "celsius" in refusal(ask("get_weather", city="Paris", unit="kelvin"), "invalid_arguments")


def test_a_reminder_is_kept(db):
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
def test_a_day_is_a_day_to_come(db, date, kind, words):
    before = db.state()
    assert words in refusal(ask("set_reminder", text="buy bread", date=date), kind)
    assert db.state() == before


@pytest.mark.parametrize("time", ["24:00", "9:00", "0900", "09:60", "half past nine", "09:00Z", "09:00:30", "09:00\n", 9, None])
def test_a_time_is_a_time(time):
    assert "such as 18:30" in refusal(ask("set_reminder", text="x", date="2026-03-05", time=time), "invalid_arguments") or (
        not isinstance(time, str)
    )


def test_today_can_be_set(db):
    db.today = dt.date(2026, 3, 10)
    assert "today is Tuesday, 2026-03-10" in refusal(ask("set_reminder", text="x", date="2026-03-05"))
    assert ask("set_reminder", text="x", date="2026-03-10").ok
    assert ask("create_study_plan", topic="physics", days=1).content["sessions"][0]["date"] == "2026-03-10"


def test_an_appointment_can_be_had_once(db):
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
def test_there_are_no_appointments_on_sundays_between_times_and_after_hours(date, time, words):
    assert words in refusal(ask("book_appointment", service="vet", date=date, time=time))


# ---- support -------------------------------------------------------------------------------------------------------


def test_t1001():
    assert ask("retrieve_payment_status", transaction_id="T1001").content == {"transaction_id": "T1001", "status": "Paid"}
    assert ask("retrieve_payment_date", transaction_id="t1001").content == {"transaction_id": "T1001", "date": "2026-01-28"}


def test_a_payment_has_a_date_when_money_has_flowed(db):
    for row in db.rows("SELECT id FROM payments"):
        status = ask("retrieve_payment_status", transaction_id=row["id"]).content["status"]
        date = ask("retrieve_payment_date", transaction_id=row["id"]).content["date"]
        assert (date is not None) == (status in ("Paid", "Refunded"))


def test_every_account_can_be_fetched(db):
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
def test_troubleshooting_finds_the_right_guide(product, issue, problem):
    guide = ask("troubleshoot_issue", product=product, issue=issue).content
    assert guide["problem"] == problem
    assert len(guide["steps"]) >= 3


def test_troubleshooting_says_what_it_can_help_with():
    assert "Paper jam" in refusal(ask("troubleshoot_issue", product="printer", issue="zebra"))
    assert "'router'" in refusal(ask("troubleshoot_issue", product="toaster", issue="burns"), "invalid_arguments")


# ---- education -----------------------------------------------------------------------------------------------------


def test_resources_are_found_by_topic_and_kind():
    found = ask("find_resource", topic="the periodic table", kind="video").content
    assert found[0]["title"] == "The periodic table explained"
    assert {resource["kind"] for resource in found} == {"video"}
    assert "resources on astronomy" in refusal(ask("find_resource", topic="zebra"))


def test_a_plan_spends_each_minute_once(db):
    plan = ask("create_study_plan", topic="calculus", days=5, minutes_per_day=60).content
    tasks = [session["task"] for session in plan["sessions"]]
    assert tasks == ["Calculus in pictures (60 min)"] * 3 + [
        "Calculus in pictures (20 min)",
        "Go over your notes, and over what was hard",
    ]
    assert [session["date"] for session in plan["sessions"]] == [f"2026-03-{day:02d}" for day in range(2, 7)]
    assert len(db.state()["study_plans"]) == 2


def test_a_plan_begins_with_what_is_easy():
    tasks = [s["task"] for s in ask("create_study_plan", topic="chemistry", days=28, minutes_per_day=240).content["sessions"]]
    assert tasks[0].startswith(("Chemistry of cooking", "The periodic table", "Laboratory safety"))
    assert any(task.startswith("Organic chemistry") for task in tasks[1:])


@pytest.mark.parametrize(
    ("days", "minutes"), [(0, 60), (29, 60), (5, 9), (5, 241), (True, 60), ("5", 60), (10**30, 60), (2.5, 60)]
)
def test_a_plan_has_bounds(db, days, minutes):
    before = db.state()
    refusal(ask("create_study_plan", topic="physics", days=days, minutes_per_day=minutes), "invalid_arguments")
    assert db.state() == before


@pytest.mark.parametrize("topic", get_args(education.Topic))
def test_a_quiz_on_every_topic(topic):
    quiz = ask("quiz_student", topic=topic, number_of_questions=6).content
    assert len(quiz["questions"]) == 6
    for question in quiz["questions"]:
        assert len(set(question["choices"].values())) == 4
        assert question["answer"] in question["choices"]
    assert all(q["level"] == "hard" for q in ask("quiz_student", topic=topic, level="hard").content["questions"])


# ---- finance, search -----------------------------------------------------------------------------------------------


def test_tesla():
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


def test_fundamentals_agree_with_prices(db):
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
def test_the_best_page_comes_first(query, title):
    assert ask("web_search", query=query).content[0]["title"] == title


def test_every_page_is_found_by_its_title(db):
    for row in db.rows("SELECT title FROM pages"):
        assert row["title"] in [page["title"] for page in ask("web_search", query=row["title"]).content]


def test_a_search_gives_as_many_pages_as_asked_and_none_where_nothing_fits():
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
def test_a_good_recommendation_is_taken(model):
    observation = ask(model.__name__, **GOOD[model])
    assert observation.content == {**GOOD[model], **({"genre": "rock"} if model is SongRecommendation else {})}
    assert model.model_validate(GOOD[model])


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
def test_a_bad_recommendation_is_told_why(model, change, words):
    arguments = GOOD[model] | change
    with pytest.raises(ValidationError):
        model.model_validate(arguments)
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
