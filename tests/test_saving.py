"""Files of conversations: what cannot be written leaves the file as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fcutils.dataset import export_openai, write_rows
from fcutils.messages import Conversation, Message

WAYS: dict[str, Callable[[Conversation, Path], object]] = {
    "save": lambda talk, file: talk.save(file),
    "write_rows": lambda talk, file: write_rows([talk], file),
    "export_openai": lambda talk, file: export_openai([talk] * 10, file),
}


def talk(asked: str) -> Conversation:
    return Conversation((Message("user", asked), Message("assistant", "Yes.")))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_cannot_be_encoded_leaves_the_file_as_it_was(tmp_path: Path, way: Callable[[Conversation, Path], object]) -> None:
    file = tmp_path / "rows"
    way(talk("Hi!"), file)
    before = file.read_bytes()
    assert before
    with pytest.raises(UnicodeEncodeError):
        way(talk("half \ud800"), file)
    assert file.read_bytes() == before
