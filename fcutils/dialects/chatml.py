"""ChatML: turns between `<|im_start|>role` and `<|im_end|>`. What stands inside them is the matter of a family's dialect."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Dialect, Piece


class ChatML(Dialect):
    tokens: tuple[str, ...] = ("<|im_start|>", "<|im_end|>")
    ends = ("<|im_end|>",)

    def turn(self, role: str, inside: str | Sequence[Piece]) -> list[Piece]:
        """A turn that is given, not learnt. Inside is text, or pieces where markers are meant."""
        pieces = [Piece(inside)] if isinstance(inside, str) else inside
        return [*self.own("<|im_start|>"), Piece(f"{role}\n"), *pieces, *self.own("<|im_end|>"), Piece("\n")]

    @abstractmethod
    def system_text(self, tools: Sequence[Mapping[str, Any]], system: str) -> str | list[Piece]:
        """The system turn where there are tools: what they are, how to call them, and what else the system says."""

    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        lead = self.system_text(tools, system) if tools else system
        return [*(self.turn("system", lead) if lead else []), *self.turn("user", user)]

    def user(self, text: str) -> list[Piece]:
        return self.turn("user", text)

    def prompt(self) -> list[Piece]:
        return [*self.own("<|im_start|>"), Piece("assistant\n")]

    def after(self) -> list[Piece]:
        return [Piece("\n")]
