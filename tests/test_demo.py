"""The demo: the model's own call and answer are shown."""

from __future__ import annotations

import pytest
import tiny

from fcutils import demo
from fcutils.messages import Message, ToolCall
from fcutils.models import ModelError


def test_a_model_calls_and_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    engine = tiny.engine("llama")
    call = ToolCall("set_reminder", {"text": "feed the cat", "date": "2026-03-05", "time": "07:45"})
    script = tiny.Script(engine, Message("assistant", calls=(call,)), "Not yet.")
    monkeypatch.setattr(demo, "open_engine", lambda model: (engine, script))
    assert demo.run_demo() == 0
    shown = capsys.readouterr().out
    assert shown.index("you> ") < shown.index("feed the cat") < shown.index("result  {") < shown.index("Not yet.\n(2 replies")


def test_weights_that_cannot_be_read_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(model: str) -> None:
        raise ModelError("model.safetensors is damaged")

    monkeypatch.setattr(demo, "open_engine", damaged)
    assert demo.run_demo() == 2
    assert capsys.readouterr().err == "demo: model.safetensors is damaged\n"
