"""`functiongemma`: Gemma 3's turns with declarations, calls and responses between control tokens, and `<escape>` for a quote.

Written after Google's page "FunctionGemma formatting and best practices" and its page on a full sequence: the developer's turn
and its one sentence that switches calling on; `declaration:`, `call:` and `response:`; names and keys bare, types in capitals,
the keys of a declaration in alphabetical order. A test holds the example of the first page to the letter. Not checked: the
model's own template, which is behind a licence, and the model itself.

What differs from it, so that each turn only adds and every text can be said:

- A reply ends with `<end_of_turn>`, with calls, too, and a result opens the model's next turn; there, both are one turn. In
  either the model ends its calls with `<start_function_response>`, and writes on right behind `<end_function_response>`.
- A result is one text, `{value:<escape>...<escape>}`, also where it is JSON.
- A text in which a marker stands is JSON in common quotes, as is a key that is no plain word; a call whose name is none is
  JSON as a whole. The parser reads these, too.

The chat template wants arguments as objects, since no template can read JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fcutils.dialects.base import Dialect, Part, Piece, learnt
from fcutils.messages import Message, ToolCall, dumps

SWITCH = "You are a model that can do function calling with the following functions"
_PLAIN = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class FunctionGemma(Dialect):
    name = "functiongemma"
    tokens = (
        "<bos>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<start_function_declaration>",
        "<end_function_declaration>",
        "<start_function_call>",
        "<end_function_call>",
        "<start_function_response>",
        "<end_function_response>",
        "<escape>",
    )
    ends = ("<end_of_turn>",)
    call_open, call_close = "<start_function_call>", "<end_function_call>"
    response_template = None
    result_open, result_close = "<start_function_response>", "<end_function_response>"
    quote = "<escape>"

    def start(self, tools: Sequence[Mapping[str, Any]], system: str, user: str) -> list[Piece]:
        lead = [Piece(system)] if system else []
        if tools:
            lead += [Piece("\n\n" + SWITCH if system else SWITCH)]
        for tool in tools:
            lead += self._declaration(tool["function"])
        if lead:
            lead = [*self.own("<start_of_turn>developer\n"), *lead, *self.own("<end_of_turn>\n")]
        return [*self.own("<bos>"), *lead, *self.user(user)]

    def user(self, text: str) -> list[Piece]:
        return [*self.own("<start_of_turn>user\n"), Piece(text), *self.own("<end_of_turn>\n<start_of_turn>model\n")]

    def results(self, messages: Sequence[Message]) -> list[Piece]:
        pieces = self.own("<start_of_turn>model\n")
        for message in messages:
            pieces += [*self.own(self.result_open), Piece(f"response:{self._word(message.name) if message.name else ''}")]
            pieces += [*self._value({"value": message.content}), *self.own(self.result_close)]
        return pieces

    def prompt(self) -> list[Piece]:
        """The user's turn, or the results, opened it."""
        return []

    def reply(self, message: Message) -> list[Piece]:
        pieces = [learnt(self.escape(message.content))] if message.content else []
        for call in message.calls:
            pieces += [*self.says(self.call_open), *self.call(call), *self.says(self.call_close)]
        return [*pieces, *self.says(self.ends[0])]

    def after(self) -> list[Piece]:
        return [Piece("\n")]

    def call(self, call: ToolCall, *shape: str) -> list[Piece]:
        if not _PLAIN.fullmatch(call.name):
            return super().call(call, *shape)
        pieces = [learnt("call:", "structure"), learnt(call.name, "name"), learnt("{", "structure")]
        for place, (key, value) in enumerate(call.arguments.items()):
            pieces += [
                learnt("," if place else "", "structure"),
                learnt(self._word(str(key)), "name"),
                learnt(":", "structure"),
            ]
            pieces += self._value(value, learn=True, part="value")
        return [*pieces, learnt("}", "structure")]

    def _declaration(self, function: Mapping[str, Any]) -> list[Piece]:
        said = {key: value for key, value in function.items() if key != "name"}
        head = [*self.own("<start_function_declaration>"), Piece(f"declaration:{self._word(str(function.get('name', '')))}")]
        return [*head, *self._value(_declared(said)), *self.own("<end_function_declaration>")]

    def _value(self, value: Any, *, learn: bool = False, part: Part = "text") -> Iterator[Piece]:
        def plain(text: str) -> Piece:
            return Piece(text, learn=learn, part=part)

        if isinstance(value, str) and self.escape(value) == value:
            quote = Piece(self.quote, control=True, learn=learn, part=part)
            yield from (quote, plain(value), quote)
        elif isinstance(value, Mapping):
            yield plain("{")
            for place, (key, inner) in enumerate(value.items()):
                yield plain(("," if place else "") + self._word(str(key)) + ":")
                yield from self._value(inner, learn=learn, part=part)
            yield plain("}")
        elif isinstance(value, list | tuple):
            yield plain("[")
            for place, inner in enumerate(value):
                yield plain("," if place else "")
                yield from self._value(inner, learn=learn, part=part)
            yield plain("]")
        else:
            yield plain(self.escape(dumps(value)))

    def _word(self, word: str) -> str:
        """A name or key: bare where it is a plain word, else in common quotes."""
        return word if _PLAIN.fullmatch(word) else self.escape(dumps(word))


def _declared(schema: Any, key: str = "") -> Any:
    """A schema as it is declared: keys in alphabetical order, types in capitals."""
    if isinstance(schema, Mapping):
        return {name: _declared(inner, name) for name, inner in sorted(schema.items(), key=lambda item: item[0].lower())}
    if isinstance(schema, list | tuple):
        return [_declared(inner, key) for inner in schema]
    return schema.upper() if key == "type" and isinstance(schema, str) else schema
