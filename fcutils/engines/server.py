"""A model behind any OpenAI-compatible server: vLLM, llama.cpp, Ollama, `transformers serve`, a provider.

The server renders messages for its model and parses what the model writes; this file sends the one and reads the other. The
calls that come back it writes in a dialect's form, so that they are read like every other reply's. Recipes: configs/serving.

What holds here as it does locally: only what the server gives as the model's reply is read for calls, and the toolbox still
decides what runs. What does not, because the server does it: that text cannot become control tokens, that every token is
forwarded once, that a call can be paused at or constrained, that the reply is the model's own.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import openai

from fcutils.dialects import Dialect, DialectError, get
from fcutils.engines.base import GREEDY, Chat, Constraint, Engine, EngineError, Mark, Sampling, Tools, Written
from fcutils.messages import Conversation, Message, ToolCall, answered, dumps
from fcutils.parsing import parse_reply


class ServerEngine(Engine):
    """A server at `base_url` (it ends in /v1). The key comes from `api_key` or from OPENAI_API_KEY; many servers want none.

    `timeout`: seconds without a sign of life. A request that cannot be made is tried `retries` times more, each time later.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        dialect: str | Dialect = "hermes",
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 2,
        side_by_side: int = 8,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise EngineError(f"{base_url!r} is not a server's address: it begins with http:// or https://, and ends in /v1")
        self.base_url, self.name, self.dialect = base_url, model, _showing_calls(dialect)
        self.timeout, self._side_by_side = timeout, side_by_side
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self.client = openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=retries)

    def chat(self, tools: Tools = (), system: str = "") -> ServerChat:
        return ServerChat(self, tools, system)

    def speaking(self, dialect: str | Dialect) -> Self:
        """The same server; the dialect is only the form in which its calls are shown."""
        other = copy.copy(self)
        other.dialect = _showing_calls(dialect)
        return other

    def reply_many(
        self,
        talks: Sequence[Conversation],
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        on_reply: Callable[[int, Written], None] | None = None,
    ) -> list[Written]:
        def reply(talk: Conversation) -> Written:
            began = time.perf_counter()
            try:
                chat = self.resume(talk)
                text = "".join(chat.write(max_tokens=max_tokens, sampling=sampling, constraint=constraint))
            except EngineError as error:
                return Written(error=str(error))
            return Written(text, chat.sampled, time.perf_counter() - began)

        out: dict[int, Written] = {}
        with ThreadPoolExecutor(self._side_by_side) as threads:
            places = {threads.submit(reply, talk): place for place, talk in enumerate(talks)}
            try:
                for future in as_completed(places):
                    out[places[future]] = future.result()
                    if on_reply is not None:
                        on_reply(places[future], future.result())
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        return [out[place] for place in range(len(talks))]


class ServerChat(Chat):
    """One conversation; the whole of it is sent for every reply."""

    def __init__(self, engine: ServerEngine, tools: Tools, system: str) -> None:
        self._engine, self._tools = engine, [dict(tool) for tool in tools]
        self._messages = [Message("system", system)] if system else []
        self._cut_off = False  # the last message is a reply that ran out of tokens

    @property
    def ids(self) -> list[int]:
        return []

    def add(self, *messages: Message) -> None:
        self._messages += messages
        self._cut_off = False

    def write(
        self,
        *,
        max_tokens: int = 512,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        stop_at_call: bool = False,
    ) -> Iterator[str]:
        """See `Chat.write`. A server ends its reply by itself: `stop_at_call` pauses nowhere, and a cut reply cannot go on."""
        if constraint is not None:
            raise EngineError(
                "a constraint works on a local model's logits; ask the server for its own guided decoding instead"
            )
        if self._cut_off:
            raise EngineError("a server cannot go on with a reply that was cut off: roll back, and ask with more max_tokens")
        if not self._messages or self._messages[-1].role not in ("user", "tool"):
            raise EngineError("there is nothing to reply to: say something first")
        reply = _Reply(self._engine.dialect)
        request = self._request(max_tokens, sampling)
        with _explained(self._engine), self._engine.client.chat.completions.create(**request) as chunks:
            for chunk in chunks:
                yield from filter(None, [reply.take(chunk)])
            yield from filter(None, [reply.close()])
        self.sampled += reply.sampled
        self.forwarded += reply.forwarded
        self.ended = "length" if reply.finish == "length" else "end"
        self._cut_off = self.ended == "length"
        self._messages.append(reply.message())

    def mark(self) -> Mark:
        return Mark(len(self._messages), self._cut_off)

    def rollback(self, mark: Mark) -> None:
        if mark.position > len(self._messages):
            raise EngineError("this mark is of another chat, or of something that was rolled back before")
        del self._messages[mark.position :]
        self._cut_off = mark.state

    def _request(self, max_tokens: int, sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._engine.name,
            "messages": to_messages(self._messages),
            "max_tokens": max_tokens,
            "temperature": sampling.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._tools:
            request["tools"] = self._tools
        if sampling.top_p < 1:
            request["top_p"] = sampling.top_p
        if sampling.seed is not None:
            request["seed"] = sampling.seed
        # OpenAI's own API does not know these two, so that they are sent only where they are asked for.
        extra = {"top_k": sampling.top_k or None, "repetition_penalty": sampling.repetition_penalty}
        extra = {name: value for name, value in extra.items() if value not in (None, 1.0)}
        return {**request, "extra_body": extra} if extra else request


def to_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as a server wants them: every call has an id of its own, and every result answers one.

    What came of a call that could not be read answers none, and is said by the user.
    """
    out: list[dict[str, Any]] = []
    waiting: dict[int, ToolCall] = {}
    for place, message in enumerate(messages):
        if message.role == "assistant":
            calls = [replace(call, id=call.id or f"call_{place}_{number}") for number, call in enumerate(message.calls)]
            message, waiting = replace(message, thought="", calls=tuple(calls)), dict(enumerate(calls))
        elif message.role == "tool":
            found = answered(message, waiting)
            found = next(iter(waiting), None) if found is None else found
            message = Message("user", message.content) if found is None else replace(message, call_id=waiting.pop(found).id)
        out.append(message.to_openai())
    return out


class _Reply:
    """A reply as it comes in, as the text that it would be in a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._written: list[str] = []
        self._call: tuple[int, str] | None = None  # index and id of the call that is being written
        self._bare = True  # nothing was written of its arguments
        self.finish: str | None = None
        self.sampled = self.forwarded = 0

    def take(self, chunk: Any) -> str:
        """The text that a chunk adds."""
        pieces: list[str] = []
        for choice in chunk.choices[:1]:
            self.finish = choice.finish_reason or self.finish
            if choice.delta.content:
                pieces += [self._end_call(), choice.delta.content]
            pieces += map(self._part_of_call, choice.delta.tool_calls or ())
        if chunk.usage:
            self.sampled, self.forwarded = chunk.usage.completion_tokens, chunk.usage.total_tokens
        elif any(pieces):
            self.sampled += 1  # until the server says how many tokens there were
        return self._add("".join(pieces))

    def close(self) -> str:
        """The text that is left; an error where the reply is not whole."""
        if self.finish is None:
            what = "broke off in the middle of its reply" if self._written else "did not answer with a chat completion"
            raise EngineError(f"the server {what}")
        return self._add(self._end_call())

    def message(self) -> Message:
        reply = parse_reply("".join(self._written), self._dialect.name)
        content = reply.content if reply.calls or not reply.faults else reply.text.strip()
        return Message("assistant", content, calls=reply.calls)

    def _part_of_call(self, part: Any) -> str:
        text = ""
        if self._call is None or part.index != self._call[0] or part.id not in (None, "", self._call[1]):
            text = self._end_call()
            self._call, self._bare = (part.index, part.id or ""), True
            head = f'{{"name": {dumps(part.function.name or "")}, "id": {dumps(part.id or "")}, "arguments": '
            text += ("\n" if self._written or text else "") + f"{self._dialect.call_open}\n{head}"
        arguments = (part.function.arguments if part.function else "") or ""
        self._bare = self._bare and not arguments.strip()
        return text + arguments

    def _end_call(self) -> str:
        if self._call is None:
            return ""
        self._call = None
        return ("{}" if self._bare else "") + "}\n" + self._dialect.call_close

    def _add(self, text: str) -> str:
        self._written += [text] if text else []
        return text


def _showing_calls(dialect: str | Dialect) -> Dialect:
    found = get(dialect)
    if not found.call_open:
        raise DialectError(
            f"{found.name}: calls have no mark of their own in this dialect; take hermes to show a server's calls"
        )
    return found


@contextmanager
def _explained(engine: ServerEngine) -> Iterator[None]:
    """Whatever goes wrong with a server, in words that say what to do."""
    where = engine.base_url
    try:
        yield
    except EngineError as error:
        raise EngineError(f"{where}: {error}; is this the address of an OpenAI-compatible server, ending in /v1?") from None
    except openai.APITimeoutError:
        raise EngineError(f"{where} gave no sign of life for {engine.timeout:g} s: give it more time (timeout=)") from None
    except openai.APIConnectionError as error:
        raise EngineError(f"no connection with {where} ({error.__cause__ or error}): is the server running?") from error
    except openai.APIStatusError as error:
        raise EngineError(f"{where} says {error.status_code}: {_words(error)}; {_advice(error)}") from error
    except openai.APIError as error:
        raise EngineError(f"{where} broke off: {_short(str(error.body or error.message))}") from error
    except Exception as error:  # what the client's transport raises in the middle of a stream has no class of the client's own
        raise EngineError(f"{where} broke off: {type(error).__name__}: {_short(str(error))}") from error


def _advice(error: openai.APIStatusError) -> str:
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return "give it a key: api_key=, or OPENAI_API_KEY"
    if isinstance(error, openai.NotFoundError):
        return "check the model's name, and that base_url ends in /v1"
    if isinstance(error, openai.RateLimitError):
        return "wait, or ask fewer things side by side"
    return "the server's own words say more" if error.status_code < 500 else "look at the server's log"


def _words(error: openai.APIStatusError) -> str:
    """What the server itself says, which not every one puts where the client looks for it."""
    if "html" in error.response.headers.get("content-type", ""):
        return "a web page"
    return _short(str(error.body or error.message))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."
