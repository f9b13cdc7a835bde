"""`python -m fcutils chat`: what is typed, what is shown, and that a conversation outlives Ctrl-C. The model is dictated to."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny

from fcutils import usecases
from fcutils.chat import Talk, approve, run_chat, tell
from fcutils.loop import Answer, BadCall, Call, Event, Observed, Shortened, Text, Thought, ToolLoop
from fcutils.messages import Conversation, Fault, Message, Observation, ToolCall

REMIND = ToolCall("set_reminder", {"text": "call Ada", "date": "2026-03-05", "time": "09:00"})
WEATHER = Message("assistant", calls=(ToolCall("get_weather", {"city": "Paris"}),))
TESTS = Path(__file__).parent


def talk(*replies: str | Message) -> Talk:
    engine = tiny.engine("llama")
    tools = usecases.load("assistant", on_approve=approve)
    return Talk(ToolLoop(engine, tools, constraint=tiny.Script(engine, *replies)))


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The lines that the user types; an exception is a key that was pressed; then the input ends."""

    def lines(*said: str | type[BaseException]) -> None:
        left: Iterator[str | type[BaseException]] = iter(said)

        def read(prompt: str = "") -> str:
            print(prompt, end="")
            line = next(left, EOFError)
            if isinstance(line, str):
                print(line)
                return line
            raise line

        monkeypatch.setattr("builtins.input", read)

    return lines


def roles(room: Talk) -> list[str]:
    return [message.role for message in room.talk.messages]


def test_a_talk_with_a_call(typed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("How is Paris?", "/quit", "never read")
    room = talk(WEATHER, "It is fine.")
    room.go()
    shown = capsys.readouterr().out
    call, result, answer = (shown.index(part) for part in ('call    get_weather(city="Paris")', "result  {", "\nIt is fine.\n"))
    assert call < result < answer < shown.index("(2 replies, ")
    assert '"city": "Paris"' in shown and "get_weather, " in shown
    assert roles(room) == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize(("word", "kind"), [("y", "ok"), ("YES", "ok"), ("n", "refused"), ("", "refused"), ("yep", "refused")])
def test_nothing_but_yes_is_a_yes(typed: Callable[..., None], capsys: pytest.CaptureFixture[str], word: str, kind: str) -> None:
    typed("Remind me", word)
    room = talk(Message("assistant", calls=(REMIND,)), "Done.")
    room.go()
    shown = capsys.readouterr().out
    assert 'run set_reminder(text="call Ada", date="2026-03-05", time="09:00")? [y/n]' in shown
    assert ("refused: set_reminder" in shown) == (kind == "refused")
    assert ("not approved" in room.talk.messages[2].content.lower()) == (kind == "refused")


def test_without_anybody_to_ask_it_does_not_run(typed: Callable[..., None]) -> None:
    typed()
    assert approve(REMIND) == "there is nobody to ask"


def test_undo_takes_back_what_was_said_last(typed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("/undo", "one", "two", "/undo", "three", "/undo", "/undo", "/undo")
    room = talk("1", "2", "3")
    room.go()
    shown = capsys.readouterr().out
    assert shown.count("nothing was said yet") == 2
    assert [part in shown for part in ("taken back: two", "taken back: three", "taken back: one")] == [True] * 3
    assert roles(room) == [] and [m.content for m in room.loop.conversation.messages] == ["one", "1", "three", "3"]


def test_save(typed: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a talk.json"
    typed("one", f"/save {path}", f"/save {path}", "/save", f"/save {tmp_path}/no/such/folder.json")
    room = talk("1")
    room.go()
    assert Conversation.load(path).messages == room.talk.messages
    shown = capsys.readouterr().out
    assert [shown.count(part) for part in ("saved in", "is there already", "say where", "not saved:")] == [1] * 4


def test_tools_and_an_unknown_command(typed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("/tools", "/dance", "   ")
    talk().go()
    shown = capsys.readouterr().out
    assert "get_weather: Get the weather in a city." in shown
    assert "there is no /dance: /undo" in shown


def test_ctrl_c_at_the_prompt_and_at_a_question(typed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    typed(KeyboardInterrupt, "Remind me", KeyboardInterrupt, "What now?")
    room = talk(Message("assistant", calls=(REMIND,)), "Nothing.")
    room.go()
    assert capsys.readouterr().out.count("(interrupted: ") == 2
    assert roles(room) == ["user", "assistant", "tool", "user", "assistant"]
    assert "Interrupted before there was a result" in room.talk.messages[2].content


def test_nothing_that_a_model_or_a_tool_writes_is_a_command_for_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x1b]0;title\x07\x1b[2J\r\u202e"
    call = ToolCall(bad, {bad: bad})
    events: list[Event] = [
        Thought(bad),
        Text("hi " + bad),
        Text(bad),
        Call(call),
        BadCall(Fault(bad, bad, 0, 1)),
        Observed(Observation(bad, "failed", bad), call),
        Shortened(1, 2),
        Text("end"),
        Answer("end"),
    ]
    assert tell(events) == "end"
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\r\u202e")
    assert "call    <U+001B>]0;title" in shown and shown.endswith("end\n")


def test_what_cannot_be_begun_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chat(["no-such-model"]) == 2
    assert "neither a model's folder nor a key of the catalogue" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_chat(["--usecase", "gardening"])
    assert "invalid choice" in capsys.readouterr().err


def test_a_server_that_is_down_is_a_reason_to_stop(typed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    typed("hi")
    assert run_chat(["some-model", "--engine", "http://127.0.0.1:9/v1", "--usecase", "all", "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "no connection with http://127.0.0.1:9/v1" in shown and "(engine: " in shown


def test_ctrl_c_in_a_reply_returns_to_the_prompt(typed: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    room = talk(WEATHER, "word " * 300, "Here I am.")
    forwards = itertools.count()

    def press(*_: object) -> None:
        if next(forwards) == 60:  # in the second reply
            signal.raise_signal(signal.SIGINT)

    room.loop.engine.model.register_forward_pre_hook(press)  # pyright: ignore[reportAttributeAccessIssue]
    typed("How is Paris?", "Are you there?")
    room.go()
    shown = capsys.readouterr().out
    assert shown.index("word word") < shown.index("(interrupted: ") < shown.index("Here I am.")
    assert roles(room) == ["user", "assistant", "tool", "user", "assistant"]
    assert room.talk.messages[-1].content == "Here I am."


def test_it_reads_from_a_pipe() -> None:
    program = """
import tiny
from fcutils.chat import Talk
from fcutils.loop import ToolLoop
from fcutils.toolbox import Toolbox
engine = tiny.engine("llama")
Talk(ToolLoop(engine, Toolbox(), constraint=tiny.Script(engine, "Here I am."))).go()
"""
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, input="hello\n/tools\n", cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Here I am.\n(1 reply, " in done.stdout and "Traceback" not in done.stderr
