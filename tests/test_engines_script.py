"""engines/script.py: a model that says what it is told, and nothing else."""

from __future__ import annotations

import pytest
import tiny

from fcutils.engines.base import EngineError
from fcutils.engines.script import Script
from fcutils.messages import Message, ToolCall

CALL = Message("assistant", calls=(ToolCall("weather", {"city": "Oslo"}),))


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_a_message_is_said_as_the_dialect_says_it_also_after_a_pause(family: str) -> None:
    engine = tiny.engine(family)
    script, chat = Script(engine, CALL, "It is cold."), engine.chat()
    chat.say("How is it in Oslo?")
    paused = "".join(chat.write(constraint=script, stop_at_call=True))
    rest = "".join(chat.write(constraint=script)) if chat.ended == "call" else ""  # Mistral ends both with one token
    ends = engine.dialect.ends
    said = "".join(piece.text for piece in engine.dialect.reply(CALL) if piece.text not in ends)
    assert (paused + rest).strip() == said.strip()
    chat.say("And?")
    assert "".join(chat.write(constraint=script)).strip() == "It is cold."
    assert len(script.told) == 2, "a reply that was paused is still one"


def test_nothing_is_left_to_say() -> None:
    engine = tiny.engine("llama")
    chat = engine.chat()
    chat.say("Hello!")
    with pytest.raises(EngineError, match="no reply left"):
        list(chat.write(constraint=Script(engine)))
