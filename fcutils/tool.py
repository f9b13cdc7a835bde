"""One tool at work: arguments checked, function called, result checked and cut to size. Whatever happens, there is an outcome.

Knows functions, Pydantic models and JSON. Does not know where it runs (here or in a `worker`), nor who may call it (`toolbox`).
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json, to_jsonable_python

from fcutils.complaint import Properties, boolean_for_integer, complain_of_arguments, complain_of_result, cut
from fcutils.messages import ObservationKind, dumps
from fcutils.schema import arguments_model, is_model, parameters_of, return_adapter


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: the part of an observation that the tool itself decides."""

    content: Any
    kind: ObservationKind = "ok"
    truncated: bool = False


class Tool:
    """A function, or a Pydantic model, ready to be called with what a model wrote."""

    def __init__(self, function: Callable[..., Any] | type[BaseModel], properties: Properties, max_output: int) -> None:
        self.function = function
        self.properties = properties
        self.max_output = max_output
        self.model = arguments_model(function)
        self.returns = return_adapter(function)
        parameters = [] if is_model(function) else parameters_of(function)
        self._positional = sum(p.kind is p.POSITIONAL_ONLY for p in parameters)
        self._names = [p.name for p in parameters]

    def read(self, arguments: Mapping[str, Any]) -> tuple[str, BaseModel] | Outcome:
        """The arguments as JSON text and as a checked instance of the tool's model, or what is wrong with them.

        Pydantic reads them as JSON, strictly: "2026-01-31" is a date and 2 will do for a float; "2" is no integer, nor is True.
        """
        try:
            text = json.dumps(arguments, allow_nan=False)
            instance = self._check(text)
        except ValidationError as error:
            return Outcome(complain_of_arguments(error, arguments, self.properties), "invalid_arguments")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # not JSON, or a validator of the tool's own that breaks
            return Outcome(f"The arguments cannot be read: {describe(error)}", "invalid_arguments")
        wrong = boolean_for_integer(arguments, instance) if "true" in text or "false" in text else None
        return Outcome(wrong, "invalid_arguments") if wrong else (text, instance)

    def run(self, instance: BaseModel) -> Outcome:
        """Call the tool and wait for it. Only Ctrl-C gets through."""
        try:
            result = self._invoke(instance)
            return self._settle(wait(result) if inspect.isawaitable(result) else result)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return self._failed(error)

    async def arun(self, instance: BaseModel) -> Outcome:
        """The same for an async function, on the caller's event loop. Cancelling the caller gets through, too."""
        try:
            return self._settle(await self._invoke(instance))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:
            return self._failed(error)

    def __call__(self, text: bytes) -> bytes:
        """JSON in, JSON out: the form in which a tool runs in a worker process, where nothing must get through."""
        try:
            outcome = self.run(self._check(text))
        except BaseException as error:
            outcome = self._failed(error)
        return json.dumps([outcome.content, outcome.kind, outcome.truncated]).encode()

    def _check(self, text: str | bytes) -> BaseModel:
        return self.model.model_validate_json(text, strict=True, extra="forbid")

    def _invoke(self, instance: BaseModel) -> Any:
        if is_model(self.function):
            return instance
        values = [getattr(instance, field) for field in self.model.model_fields]
        named = zip(self._names[self._positional :], values[self._positional :], strict=True)
        return self.function(*values[: self._positional], **dict(named))

    def _settle(self, result: Any) -> Outcome:
        """The result as JSON of the declared structure, no longer than allowed."""
        if isinstance(result, Iterator | AsyncIterator):
            return Outcome(f"The tool returned a {type(result).__name__}, which has no end one could wait for.", "bad_result")
        try:
            content = self._to_json(result)
            whole = content if isinstance(content, str) else dumps(content)
            text = cut(whole, self.max_output)
            text.encode()  # half a surrogate pair passes for JSON, but cannot be sent anywhere
        except ValidationError as error:
            return Outcome(cut(complain_of_result(error, to_jsonable_python(result)), self.max_output), "bad_result")
        except Exception as error:
            words = f"The tool returned a {type(result).__name__} that JSON cannot hold: {describe(error)}"
            return Outcome(cut(words, self.max_output), "bad_result")
        if text != whole or isinstance(content, str):
            return Outcome(text, truncated=text != whole)
        return Outcome(from_json(text))

    def _to_json(self, result: Any) -> Any:
        """A value of the declared type, or the JSON of one, as JSON."""
        if self.returns is None:
            return to_jsonable_python(result)
        try:
            value = self.returns.validate_python(result, strict=True)
        except ValidationError:  # a dict for a model, a tuple for a list, a date as text
            value = self.returns.validate_json(to_json(result), strict=True)
        return self.returns.dump_python(value, mode="json", by_alias=True)

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, SystemExit):
            return Outcome("The tool tried to end the program.", "failed")
        return Outcome(cut(describe(error), self.max_output), "failed")


def describe(error: BaseException) -> str:
    """An exception in one line, whatever its own `__str__` does."""
    try:
        words = str(error)
    except Exception:
        words = ""
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return text.encode(errors="replace").decode()


def wait(result: Awaitable[Any]) -> Any:
    """Wait for an async function from code that is not: on this thread, or beside an event loop that already runs on it."""

    async def finish() -> Any:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(finish())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, finish()).result()


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run in a thread. Its work cannot be left in the middle: a task that is cancelled, once or often, waits for its end."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with suppress(asyncio.CancelledError):  # cancelled once more
                await asyncio.wait([running])
        raise
