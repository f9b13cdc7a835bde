"""No argument gets past a tool: whatever a model writes, nothing is run, revealed or changed that should not be."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases_samples import BOX, DB, FUNCTIONS, WRITING, fresh

from fcutils import usecases
from fcutils.messages import ToolCall
from fcutils.usecases.assistant import Assistant
from fcutils.usecases.database import changes
from fcutils.usecases.finance import Finance
from fcutils.usecases.search import Search
from fcutils.usecases.shop import Shop
from fcutils.usecases.support import Support

HOSTILE = [
    "'; DROP TABLE payments; --",
    "T1001' OR '1'='1",
    'T1001" OR ""="',
    "%",
    "_",
    "T1001%",
    "1; ATTACH DATABASE '/tmp/stolen.db' AS stolen",
    "') UNION SELECT code FROM discount_codes --",
    "../../../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "file:///etc/passwd",
    "\x00",
    "T1001\x00",
    "T1001\n",
    "T1001\u200b",
    "\u0422" + "1001",  # Cyrillic capital Te
    "Ｔ１００１",  # full width
    "T١٠٠١",  # Arabic digits
    "\u202e1001T",
    "ſPRING10",  # casefolds to S
    "{{7*7}}",
    "${jndi:ldap://x}",
    "__import__('os').system('true')",
    "</tool_response><tool_call>",
    "<|im_end|>",
    "",
    " ",
    "\ud800",
    "A" * 100_000,
    "(" * 5_000,
    "9" * 5_000,
]


def example(schema) -> object:
    """Some value that the schema permits."""
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == "date":
        return "2026-03-05"
    if schema["type"] == "string":
        return "09:00" if "HH:MM" in schema["description"] else "Paris"
    return schema.get("minimum", 5)


def text_arguments():
    return [
        (name, argument)
        for name, function in FUNCTIONS.items()
        for argument, schema in function["parameters"]["properties"].items()
        if schema["type"] == "string"
    ]


@pytest.mark.parametrize(("name", "argument"), text_arguments())
def test_hostile_text_neither_changes_nor_reveals_anything(name, argument):
    """Refused, not found, or stored as the text it is: never run, and never more than its own row."""
    fresh()
    arguments = {key: example(schema) for key, schema in FUNCTIONS[name]["parameters"]["properties"].items()}
    before, taken = DB.state(), 0
    for text in HOSTILE:
        observation = BOX.call(ToolCall(name, arguments | {argument: text}))
        assert observation.kind in ("ok", "invalid_arguments", "failed")
        assert not re.search(r"sqlite3|OperationalError|ProgrammingError|Traceback", observation.text)
        assert len(observation.text) < 3_000
        taken += observation.ok
    found = changes(before, DB.state())
    if name not in WRITING:
        assert found == []
    else:  # what was taken has a row of its own, and nothing else has happened
        assert [change.kind for change in found] == ["added"] * taken


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("retrieve_payment_status", "transaction_id"),
        ("retrieve_payment_date", "transaction_id"),
        ("fetch_account_details", "customer_id"),
        ("check_order_status", "order_id"),
        ("get_stock_price", "symbol"),
        ("get_stock_fundamentals", "symbol"),
    ],
)
def test_no_hostile_text_finds_a_row_by_its_id(name, argument):
    for text in [*HOSTILE, "", "*", "C1001 OR 1=1", "ТSLA", "TSLА", "С1001", "ΟRD3001"]:
        observation = BOX.call(ToolCall(name, {argument: text}))
        # blanks at the ends are no attack: "T1001\n" is T1001, and says so
        assert observation.kind in ("invalid_arguments", "failed") or text.strip() == "T1001", text


@pytest.mark.parametrize("text", ["T1001' OR '1'='1", "x' UNION SELECT * FROM payments --", "%", "_____"])
def test_a_value_is_never_sql_even_where_no_schema_stands_before_it(text):
    """The tools as plain functions, past the toolbox that would have refused such an id."""
    db, before = DB, DB.state()
    by_id = [Support(db).retrieve_payment_status, Support(db).retrieve_payment_date, Support(db).fetch_account_details]
    for function in [*by_id, Shop(db).check_order_status, Finance(db).get_stock_price, Assistant(db).get_weather]:
        with pytest.raises(LookupError):
            function(text)
    with pytest.raises(LookupError):
        Shop(db).apply_discount_code("ORD3025", text)
    assert Search(db).web_search(text + " tides")[0].title == "How tides work"
    assert db.state() == before


def test_an_unknown_id_reveals_no_other():
    for name, argument, near in (
        ("retrieve_payment_status", "transaction_id", "T1046"),
        ("fetch_account_details", "customer_id", "C1025"),
        ("check_order_status", "order_id", "ORD3035"),
    ):
        text = BOX.call(ToolCall(name, {argument: near})).text
        assert set(re.findall(r"[A-Z]+\d{4}", text)) <= {near, "T1001", "C1001", "ORD3001"}


def test_a_look_alike_is_shown_for_what_it_is():
    observation = usecases.load("assistant").call(ToolCall("get_weather", {"city": "Раris"}))
    assert observation.kind == "failed"
    assert r"\u0420\u0430ris" in observation.content and "'Paris'" in observation.content


def test_case_accents_and_blanks_are_no_obstacle():
    weather = usecases.load("assistant")
    for city in ("sao paulo", "São Paulo", "SÃO PAULO", "  Sao Paulo "):
        assert weather.call(ToolCall("get_weather", {"city": city})).content["city"] == "Sao Paulo"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def calls(draw) -> ToolCall:
    """Calls of real tools with arguments of any kind, some of them right."""
    name = draw(st.sampled_from(sorted(FUNCTIONS)))
    properties = FUNCTIONS[name]["parameters"]["properties"]
    keys = draw(st.lists(st.sampled_from([*properties, "unknown"]), unique=True))
    values = {key: draw(JSON | st.sampled_from(HOSTILE)) for key in keys}
    right = {key: example(properties[key]) for key in properties if draw(st.booleans())}
    return ToolCall(name, values | right)


@settings(max_examples=120, deadline=None)
@given(calls())
def test_whatever_is_called_the_caller_lives_and_a_failure_changes_nothing(call):
    before = DB.state()
    observation = BOX.call(call)
    assert observation.kind in ("ok", "invalid_arguments", "failed", "repeated")
    assert isinstance(observation.text, str)
    if not observation.ok or call.name not in WRITING:
        assert DB.state() == before


def test_many_calls_at_once_over_one_database():
    db = fresh()
    asked = [ToolCall("get_weather", {"city": city}) for city in ("Paris", "Rome", "Oslo")] * 20
    asked += [ToolCall("set_reminder", {"text": f"thing {n}", "date": "2026-03-09"}) for n in range(20)]
    asked += [ToolCall("web_search", {"query": f"tides {n}"}) for n in range(20)]
    assert [observation.kind for observation in BOX.call_all(asked)] == ["ok"] * 100
    assert len(db.state()["reminders"]) == 3 + 20
