"""All use cases alike: their tools, their dialogues, and that no argument and no refusal gets anything past them."""

import re
import subprocess
import sys
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils import usecases
from fcutils.messages import ToolCall
from fcutils.schema import SchemaWarning, return_schema
from fcutils.usecases.database import Database

PROMISED = {
    "assistant": {"get_weather", "set_reminder", "book_appointment"},
    "support": {"troubleshoot_issue", "fetch_account_details", "retrieve_payment_status", "retrieve_payment_date"},
    "education": {"find_resource", "create_study_plan", "quiz_student"},
    "shop": {"search_products", "recommend_product", "check_order_status", "apply_discount_code"},
    "health": {"track_symptoms", "find_medication", "schedule_consultation"},
    "finance": {"get_stock_fundamentals", "get_stock_price"},
    "search": {"web_search"},
    "recommend": {"Joke", "BookRecommendation", "SongRecommendation"},
    "calculator": {"calculate"},
}
WRITING = {
    "set_reminder",
    "book_appointment",
    "create_study_plan",
    "apply_discount_code",
    "track_symptoms",
    "schedule_consultation",
}


def yes(call: ToolCall) -> bool:
    return True


def everything(db: Database):
    tools = usecases.all_tools(db, on_approve=yes)
    return {tool["function"]["name"]: tool["function"] for tool in tools.tools}, tools


# ---- what there is -------------------------------------------------------------------------------------------------


def test_every_use_case_and_every_tool_that_was_promised_is_there():
    assert set(usecases.NAMES) >= set(PROMISED)
    for name, tools in PROMISED.items():
        assert set(usecases.load(name).names) == tools


def test_all_tools_have_names_of_their_own():
    assert set(usecases.all_tools().names) >= set().union(*PROMISED.values())


def test_an_unknown_use_case_is_answered_with_those_there_are():
    with pytest.raises(LookupError, match="assistant, calculator"):
        usecases.load("../database")


@pytest.mark.parametrize("name", usecases.NAMES)
def test_every_tool_and_argument_has_a_type_and_a_description(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SchemaWarning)
        tools = usecases.load(name).tools
    for function in (tool["function"] for tool in tools):
        assert function["description"]
        for argument, schema in function["parameters"]["properties"].items():
            assert schema["description"], (function["name"], argument)
            assert schema["type"] in ("string", "integer", "number"), (function["name"], argument)


def test_every_tool_declares_what_it_returns():
    for name in usecases.NAMES:
        for entry in usecases.load(name)._entries.values():
            assert return_schema(entry.tool.function)["type"] in ("object", "array")


def test_the_database_is_shared_where_it_is_given():
    db = Database()
    tools = usecases.all_tools(db, on_approve=yes)
    assert tools.call(ToolCall("set_reminder", {"text": "buy bread", "date": "2026-03-03"})).ok
    assert db.row("SELECT text FROM reminders WHERE text = 'buy bread'")


# ---- dialogues -----------------------------------------------------------------------------------------------------

NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
MONTHS = {"January": "01", "February": "02", "March": "03"}


def figures(text: str) -> set[str]:
    """The numbers in a text, as comparable words: `8,849` is 8849, `5 March` is 03-05, `54.00` is 54."""
    for month, number in MONTHS.items():
        text = re.sub(rf"(\d+) {month}(?: (\d+))?", lambda m, n=number: f"{m[2] or ''} {n}-{int(m[1]):02d} ", text)
    text = re.sub(r"(\d{4})-(\d\d)-(\d\d)", r"\1 \2-\3", text)
    found = set(re.findall(r"\b\d\d-\d\d\b", text))
    for number in NUMBER.findall(re.sub(r"\b\d\d-\d\d\b", " ", text)):
        number = re.sub(r",(?=\d{3})", "", number)
        found.add(number if ":" in number else f"{float(number):g}" if len(number) < 15 else number)
    return found


@pytest.mark.parametrize("name", usecases.NAMES)
def test_a_dialogue_plays_and_its_answers_say_what_the_tools_said(name):
    played = usecases.play(usecases.load(name, on_approve=yes), usecases.dialogue(name))
    asked = told = ""
    called = set()
    for message in played.messages:
        called |= {call.name for call in message.calls}
        if message.role == "tool":
            told += f" {message.content} "
        elif message.role == "user":
            asked += f" {message.content} "
        elif message.content:
            assert figures(message.content) <= figures(told) | figures(asked), message.content
    assert called == set(usecases.load(name).names)


@pytest.mark.parametrize("name", usecases.NAMES)
def test_every_call_of_a_dialogue_is_well_formed_and_most_succeed(name):
    played = usecases.play(usecases.load(name, on_approve=yes), usecases.dialogue(name))
    results = [message.content for message in played.messages if message.role == "tool"]
    failed = [result for result in results if result.startswith('{"error"')]
    assert all('"kind": "failed"' in result for result in failed)
    assert len(failed) == (1 if name == "assistant" else 0)  # half past two is taken at the dentist's


def test_a_dialogue_is_the_same_every_time():
    for name in usecases.NAMES:
        dialogues = [usecases.play(usecases.load(name, on_approve=yes), usecases.dialogue(name)).to_dict() for _ in range(2)]
        assert dialogues[0] == dialogues[1]


# ---- approval ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_approve", [None, lambda call: False, lambda call: "not today", lambda call: 1, lambda call: 1 / 0])
def test_without_a_yes_nothing_changes(on_approve):
    db = Database()
    tools, before, refused = usecases.all_tools(db, on_approve=on_approve), db.state(), set()
    for name in usecases.NAMES:
        for call in (call for message in usecases.dialogue(name) for call in message.calls):
            observation = tools.call(call)
            if observation.kind == "refused":
                refused.add(call.name)
            else:
                assert observation.ok
    assert refused == WRITING
    assert db.state() == before


def test_with_a_yes_exactly_the_writing_tools_write():
    db = Database()
    tools, wrote = usecases.all_tools(db, on_approve=yes), set()
    for name in usecases.NAMES:
        for call in (call for message in usecases.dialogue(name) for call in message.calls):
            before = db.state()
            observation = tools.call(call)
            if db.state() != before:
                assert observation.ok
                wrote.add(call.name)
    assert wrote == WRITING


# ---- attacks -------------------------------------------------------------------------------------------------------

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
    tools, _ = everything(Database())
    return [
        (name, argument)
        for name, function in tools.items()
        for argument, schema in function["parameters"]["properties"].items()
        if schema["type"] == "string"
    ]


@pytest.mark.parametrize(("name", "argument"), text_arguments())
def test_hostile_text_neither_changes_nor_reveals_anything(name, argument):
    """Refused, not found, or stored as the text it is: never run, and never more than its own row."""
    db = Database()
    tools, box = everything(db)
    before = db.state()
    arguments = {key: example(schema) for key, schema in tools[name]["parameters"]["properties"].items()}
    for text in HOSTILE:
        observation = box.call(ToolCall(name, arguments | {argument: text}))
        assert observation.kind in ("ok", "invalid_arguments", "failed")
        assert not re.search(r"sqlite3|OperationalError|ProgrammingError|Traceback", observation.text)
        assert len(observation.text) < 3_000
        after = db.state()
        assert after.keys() == before.keys()
        if not observation.ok or name not in WRITING:
            assert after == before
        elif after != before:
            assert sum(len(rows) for rows in after.values()) - sum(len(rows) for rows in before.values()) <= 1
        before = after


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
    box = usecases.all_tools()
    for text in [*HOSTILE, "", "*", "C1001 OR 1=1", "ТSLA", "TSLА", "С1001", "ΟRD3001"]:
        observation = box.call(ToolCall(name, {argument: text}))
        # blanks at the ends are no attack: "T1001\n" is T1001, and says so
        assert observation.kind in ("invalid_arguments", "failed") or text.strip() == "T1001", text


def test_an_unknown_id_reveals_no_other():
    box = usecases.all_tools()
    for name, argument, near in (
        ("retrieve_payment_status", "transaction_id", "T1046"),
        ("fetch_account_details", "customer_id", "C1025"),
        ("check_order_status", "order_id", "ORD3035"),
    ):
        text = box.call(ToolCall(name, {argument: near})).text
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
SHARED = Database()
FUNCTIONS, BOX = everything(SHARED)
FRESH = SHARED.state()


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
    before = SHARED.state()
    observation = BOX.call(call)
    assert observation.kind in ("ok", "invalid_arguments", "failed", "repeated")
    assert isinstance(observation.text, str)
    if not observation.ok or call.name not in WRITING:
        assert SHARED.state() == before


def test_many_calls_at_once_over_one_database():
    db = Database()
    box = usecases.all_tools(db, on_approve=yes)
    asked = [ToolCall("get_weather", {"city": city}) for city in ("Paris", "Rome", "Oslo")] * 20
    asked += [ToolCall("set_reminder", {"text": f"thing {n}", "date": "2026-03-09"}) for n in range(20)]
    asked += [ToolCall("web_search", {"query": f"tides {n}"}) for n in range(20)]
    assert [observation.kind for observation in box.call_all(asked)] == ["ok"] * 100
    assert len(db.state()["reminders"]) == len(FRESH["reminders"]) + 20


def test_loading_a_use_case_loads_no_heavy_library():
    code = (
        "import sys; from fcutils import usecases; usecases.all_tools(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False False"
    )
