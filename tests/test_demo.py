"""The demo: with typed replies it says so; with a model, the model's own call and answer are shown."""

from __future__ import annotations

import pytest
import tiny

from fcutils import demo
from fcutils.messages import Message, ToolCall
from fcutils.models import ModelError


def test_without_weights_it_says_that_the_replies_are_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_trained", lambda: False)
    assert demo.run_demo() == 0
    shown = capsys.readouterr().out
    assert "typed in, not sampled" in shown
    assert 'call    retrieve_payment_status(transaction_id="T1001")\nresult  {"transaction_id"' in shown
    assert shown.endswith("The payment for T1001 is marked as: Paid.\n")


def test_with_weights_a_model_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    engine = tiny.engine("llama")
    call = ToolCall("retrieve_payment_status", {"transaction_id": "T1002"})
    script = tiny.Script(engine, Message("assistant", calls=(call,)), "Not yet.")
    monkeypatch.setattr(demo, "_trained", lambda: True)
    monkeypatch.setattr(demo, "open_engine", lambda model: (engine, script))
    assert demo.run_demo() == 0
    shown = capsys.readouterr().out
    assert "typed" not in shown
    assert shown.index("you> ") < shown.index('"T1002")') < shown.index("result  {") < shown.index("Not yet.\n(2 replies")


def test_weights_that_cannot_be_read_are_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def damaged(model: str) -> None:
        raise ModelError("model.safetensors is damaged")

    monkeypatch.setattr(demo, "_trained", lambda: True)
    monkeypatch.setattr(demo, "open_engine", damaged)
    assert demo.run_demo() == 2
    assert capsys.readouterr().err == "demo: model.safetensors is damaged\n"
