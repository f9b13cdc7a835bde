"""All use cases alike: their tools, their dialogues, and that no argument and no refusal gets anything past them."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
from usecases_samples import WRITING

from fcutils import usecases
from fcutils.messages import ToolCall
from fcutils.schema import SchemaWarning, return_schema
from fcutils.usecases.database import SEEDS, Database

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
WRITERS = {
    "set_reminder",
    "book_appointment",
    "create_study_plan",
    "apply_discount_code",
    "track_symptoms",
    "schedule_consultation",
}


def yes(call: ToolCall) -> bool:
    return True


# ---- what there is -------------------------------------------------------------------------------------------------


def test_every_use_case_and_every_tool_that_was_promised_is_there():
    assert set(usecases.NAMES) >= set(PROMISED)
    for name, tools in PROMISED.items():
        assert set(usecases.load(name).names) >= tools


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


def implementation(use_case: str, tool: str):
    """The function or model behind a tool, wherever in its module it stands."""
    module = importlib.import_module(f"fcutils.usecases.{use_case}")
    return next(getattr(place, tool) for place in (module, *vars(module).values()) if hasattr(place, tool))


def test_every_tool_declares_what_it_returns():
    for use_case in usecases.NAMES:
        for tool in usecases.load(use_case).names:
            schema = return_schema(implementation(use_case, tool))
            assert schema and schema["type"] in ("object", "array"), tool


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
    assert called >= PROMISED.get(name, set())


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
    tools, before, refused, asked_for = usecases.all_tools(db, on_approve=on_approve), db.state(), set(), set()
    for name in usecases.NAMES:
        for call in (call for message in usecases.dialogue(name) for call in message.calls):
            observation = tools.call(call)
            asked_for.add(call.name)
            if observation.kind == "refused":
                refused.add(call.name)
            else:
                assert observation.ok
    assert refused == WRITING & asked_for >= WRITERS
    assert db.state() == before


def test_with_a_yes_exactly_the_writing_tools_write():
    db = Database()
    tools, wrote, asked_for = usecases.all_tools(db, on_approve=yes), set(), set()
    for name in usecases.NAMES:
        for call in (call for message in usecases.dialogue(name) for call in message.calls):
            before = db.state()
            observation = tools.call(call)
            asked_for.add(call.name)
            if db.state() != before:
                assert observation.ok
                wrote.add(call.name)
    assert wrote == WRITING & asked_for >= WRITERS


# ---- what CONTRIBUTING promises ------------------------------------------------------------------------------------


def test_loading_a_use_case_loads_no_heavy_library():
    code = (
        "import sys; from fcutils import usecases; usecases.all_tools(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False False"
    )


ZOO = '''
    """The zoo."""

    from dataclasses import dataclass

    from fcutils.messages import Message, ToolCall
    from fcutils.toolbox import Approver, Toolbox
    from fcutils.usecases.database import Database
    from fcutils.usecases.values import Text, pick


    @dataclass(frozen=True)
    class Zoo:
        db: Database

        def count_legs(self, animal: Text) -> int:
            """Count an animal's legs.

            Args:
                animal: Name of the animal
            """
            legs = {row["name"]: row["legs"] for row in self.db.rows("SELECT * FROM animals")}
            return legs[pick("animal", animal, legs)]


    def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
        zoo = Zoo(db or Database())
        tools = Toolbox(on_approve=on_approve)
        tools.add(zoo.count_legs)
        return tools


    DIALOGUE = (
        Message("user", "How many legs has a zebra?"),
        Message("assistant", calls=(ToolCall("count_legs", {"animal": "Zebra"}),)),
        Message("assistant", "4."),
    )
'''


@pytest.fixture
def copied(tmp_path):
    """The package's use cases and their seeds, to be added to."""
    package = Path(usecases.__file__).parent
    shutil.copytree(package, tmp_path / "fcutils" / "usecases", ignore=shutil.ignore_patterns("__pycache__"))
    for module in package.parent.glob("*.py"):
        shutil.copy(module, tmp_path / "fcutils")
    shutil.copytree(SEEDS, tmp_path / "data" / "usecases")
    return tmp_path


def printed_by(code: str, copied: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(copied)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=copied, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_use_case_is_one_file_and_its_seed_rows(copied):
    (copied / "fcutils" / "usecases" / "zoo.py").write_text(textwrap.dedent(ZOO))
    (copied / "data" / "usecases" / "zoo").mkdir()
    (copied / "data" / "usecases" / "zoo" / "tables.sql").write_text(
        "CREATE TABLE animals (name TEXT PRIMARY KEY, legs INTEGER);"
    )
    (copied / "data" / "usecases" / "zoo" / "animals.csv").write_text("name,legs\nzebra,4\n")
    code = (
        "from fcutils import usecases as u; tools = u.all_tools(); "
        "print(u.NAMES[-1], 'get_weather' in tools.names, u.play(tools, u.dialogue('zoo')).messages[2].content)"
    )
    assert printed_by(code, copied) == "zoo True 4"


def test_a_tool_is_one_function_as_contributing_shows_it(copied):
    shown = (SEEDS.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    function, _, line = shown.partition("```python\n")[2].partition("```")[0].partition("\n...\n")
    path = copied / "fcutils" / "usecases" / "assistant.py"
    source = path.read_text(encoding="utf-8")
    source = source.replace("    def _free_times", textwrap.indent(function.rstrip(), "    ") + "\n\n    def _free_times")
    path.write_text(source.replace("    return tools\n", f"    {line.strip()}\n    return tools\n"), encoding="utf-8")
    code = (
        "from fcutils import ToolCall, usecases as u; from fcutils.usecases.database import Database; db = Database(); "
        "text = db.row('SELECT text FROM reminders')['text']; before = len(db.rows('SELECT 1 FROM reminders')); "
        "tools = u.load('assistant', db, on_approve=lambda call: True); "
        "seen = tools.call(ToolCall('cancel_reminder', {'text': text})); "
        "print(seen.kind, before - len(db.rows('SELECT 1 FROM reminders')))"
    )
    assert printed_by(code, copied) == "ok 1"
