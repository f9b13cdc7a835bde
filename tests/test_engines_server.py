"""The server engine, against `transformers serve` with a small model, and against servers that misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import tiny
from serving import free_port, serving

from fcutils.dialects import DIALECTS, DialectError
from fcutils.engines.base import EngineError, Sampling
from fcutils.engines.server import ServerEngine, to_messages
from fcutils.loop import Answer, Call, Observed, Stop, Text, ToolLoop
from fcutils.messages import Message, Observation, ToolCall, conversation
from fcutils.parsing import parse_reply
from fcutils.toolbox import Toolbox

ASK = tiny.TALK.messages[0].content


# ---- a real one --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model of `transformers serve`, which holds the taught model."""
    folder = tmp_path_factory.mktemp("served")
    engine = tiny.taught()
    engine.dialect.dress(engine.tokenizer)
    engine.model.generation_config.eos_token_id = engine.model.generation_config.pad_token_id = engine.end_id
    engine.model.save_pretrained(folder)
    engine.tokenizer.save_pretrained(folder)
    with serving(folder) as address:
        yield address, str(folder)


def weather_box() -> Toolbox:
    box = Toolbox()

    @box.tool
    def weather(city: str) -> str:
        """What weather does: ≤ 3 things

        Args:
            city: The city's name
        """
        return "cold"

    return box


def test_a_call_its_result_and_an_answer(served: tuple[str, str]) -> None:
    loop = ToolLoop(ServerEngine(*served), weather_box())
    events = list(loop.run(ASK))
    assert [event.call.arguments for event in events if isinstance(event, Call)] == [{"city": "Oslo"}]
    assert [event.observation.content for event in events if isinstance(event, Observed)] == ["cold"]
    assert [event for event in events if isinstance(event, Answer)] == [Answer("It is cold in Oslo.")]
    assert sum(isinstance(event, Text) for event in events) > 3, "text is streamed"
    stop = events[-1]
    assert isinstance(stop, Stop)
    assert stop.reason == "answered"
    assert stop.sampled > 15
    local = list(ToolLoop(tiny.taught(), weather_box()).run(ASK))[-1]
    assert isinstance(local, Stop)
    assert stop.forwarded > 1.5 * local.forwarded, "a server reads everything again for every reply"
    calls, result = loop.conversation.messages[1].calls, loop.conversation.messages[2]
    assert calls[0].id == result.call_id, "the server's own id"


def test_many_at_once(served: tuple[str, str]) -> None:
    engine = ServerEngine(*served, side_by_side=3)
    asked = conversation([Message("user", ASK)], tiny.TALK.tools)
    came: list[int] = []
    written = engine.reply_many([asked] * 5, max_tokens=60, on_reply=lambda place, one: came.append(place))
    assert sorted(came) == list(range(5))
    assert [parse_reply(one.text, "hermes").calls[0].arguments for one in written] == [{"city": "Oslo"}] * 5
    assert all(one.error is None and one.tokens > 5 and one.seconds > 0 for one in written)


def test_a_reply_that_is_cut_off_says_so_and_does_not_go_on(served: tuple[str, str]) -> None:
    chat = ServerEngine(*served).resume(tiny.TALK)
    chat.rollback(replace(chat.mark(), position=3))
    start = chat.mark()
    assert len("".join(chat.write(max_tokens=3))) < len("It is cold in Oslo.")
    assert chat.ended == "length"
    with pytest.raises(EngineError, match="cut off"):
        list(chat.write())
    chat.rollback(start)
    assert "".join(chat.write(sampling=Sampling(temperature=0.01, top_p=0.9, seed=1))) == "It is cold in Oslo."
    assert chat.ended == "end"


def test_a_wrong_model_or_address_is_explained(served: tuple[str, str]) -> None:
    address, model = served
    assert "pinned" in _trouble(ServerEngine(address, "nope"))
    assert "/v1" in _trouble(ServerEngine(address.removesuffix("/v1"), model))


# ---- servers that misbehave --------------------------------------------------------------------------------------------


def _trouble(engine: ServerEngine) -> str:
    """How a run ends; its conversation must stand where it stood."""
    loop = ToolLoop(engine, weather_box())
    stop = list(loop.run(ASK))[-1]
    assert isinstance(stop, Stop)
    assert stop.reason == "engine"
    assert [message.content for message in loop.conversation.messages] == [ASK]
    return stop.detail


Answering = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answering) -> Iterator[str]:
    """A server that answers every request like this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1"
    finally:
        running.shutdown()
        running.server_close()


def send(to: BaseHTTPRequestHandler, body: str, kind: str = "text/event-stream", status: int = 200, more: int = 0) -> None:
    """A whole response; with `more`, one that claims to be longer than it is."""
    data = body.encode()
    to.send_response(status)
    to.send_header("content-type", kind)
    to.send_header("content-length", str(len(data) + more))
    to.end_headers()
    to.wfile.write(data)


def chunk(finish: str | None = None, usage: dict[str, int] | None = None, **delta: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return f"data: {json.dumps(data)}\n\n"


def part(index: int, arguments: str, name: str | None = None, id: str | None = None) -> dict[str, Any]:
    return {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_nobody_answers() -> None:
    assert "is the server running" in _trouble(ServerEngine(f"http://127.0.0.1:{free_port()}/v1", "m", retries=0))


def test_a_web_page_in_place_of_an_answer() -> None:
    page = "<!doctype html><html><body>Welcome to nginx!</body></html>"
    with server(lambda to: send(to, page, "text/html")) as address:
        assert "did not answer with a chat completion" in _trouble(ServerEngine(address, "m"))
    with server(lambda to: send(to, page, "text/html", 404)) as address:
        assert "404: a web page" in _trouble(ServerEngine(address, "m"))


def test_a_slow_server() -> None:
    gone = threading.Event()

    def answer(to: BaseHTTPRequestHandler) -> None:
        gone.wait(20)

    with server(answer) as address:
        assert "0.3 s" in _trouble(ServerEngine(address, "m", timeout=0.3, retries=0))
        gone.set()


def test_a_server_that_stops_in_the_middle() -> None:
    with server(lambda to: send(to, chunk(content="It is co"), more=100)) as address:
        assert "peer closed connection" in _trouble(ServerEngine(address, "m"))
    with server(lambda to: send(to, chunk(content="It is co"))) as address:
        assert "middle of its reply" in _trouble(ServerEngine(address, "m"))
    with server(lambda to: send(to, 'data: {"error": "out of memory"}\n\n')) as address:
        assert "out of memory" in _trouble(ServerEngine(address, "m"))
    with server(lambda to: send(to, "data: [1, 2\n\n")) as address:
        assert _trouble(ServerEngine(address, "m"))


def test_no_key() -> None:
    refused = json.dumps({"error": {"message": "invalid api key"}})
    with server(lambda to: send(to, refused, "application/json", 401)) as address:
        assert "OPENAI_API_KEY" in _trouble(ServerEngine(address, "m"))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    seen: list[str] = []

    def answer(to: BaseHTTPRequestHandler) -> None:
        seen.append(to.headers["authorization"])
        send(to, chunk(content="hi") + chunk("stop"))

    with server(answer) as address:
        chat = ServerEngine(address, "m").chat()
        chat.say("hi")
        assert list(chat.write()) == ["hi"]
    assert seen == ["Bearer sesame"]


def test_a_busy_server_is_asked_again() -> None:
    asked: list[int] = []

    def answer(to: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        if len(asked) < 3:
            send(to, "{}", "application/json", 503)
        else:
            send(to, chunk(content="hi") + chunk("stop"))

    with server(answer) as address:
        chat = ServerEngine(address, "m", retries=2).chat()
        chat.say("hi")
        assert list(chat.write()) == ["hi"]
    assert len(asked) == 3


def test_rows_that_fail_are_told_apart() -> None:
    def answer(to: BaseHTTPRequestHandler) -> None:
        with lock:
            asked.append(1)
            fail = len(asked) == 2
        send(to, "{}", "application/json", 400) if fail else send(to, chunk(content="hi") + chunk("stop"))

    asked: list[int] = []
    lock = threading.Lock()
    with server(answer) as address:
        written = ServerEngine(address, "m").reply_many([conversation([Message("user", "hi")])] * 4)
    assert ["400" in one.error for one in written if one.error] == [True]
    assert sum(one.error is None and one.text == "hi" for one in written) == 3


# ---- what comes in, in every form that servers give it -----------------------------------------------------------------


@pytest.mark.parametrize("dialect", [name for name, dialect in DIALECTS.items() if dialect.call_open])
@pytest.mark.parametrize("content", ["", "I look."])
def test_calls_in_pieces_are_read_like_every_other_reply(dialect: str, content: str) -> None:
    nasty = {"text": 'a "b" \\ </tool_call> <|im_end|> {"name": "x"} 外套\n', "n": [1, {"k": None}]}
    arguments = json.dumps(nasty)
    pieces = [chunk(content=content)] if content else []
    pieces += [chunk(tool_calls=[part(0, "", "note", "id-1")])]
    pieces += [chunk(tool_calls=[part(0, arguments[at : at + 5])]) for at in range(0, len(arguments), 5)]
    pieces += [chunk(tool_calls=[part(1, "", "now", "id-2")]), chunk("tool_calls"), "data: [DONE]\n\n"]
    with server(lambda to: send(to, "".join(pieces))) as address:
        chat = ServerEngine(address, "m", dialect).chat()
        chat.say("hi")
        reply = parse_reply("".join(chat.write()), dialect)
    assert reply.calls == (ToolCall("note", nasty, "id-1"), ToolCall("now", {}, "id-2"))
    assert (reply.content, reply.faults, chat.ended) == (content, (), "end")


def test_whole_calls_that_all_have_index_0() -> None:
    calls = [part(0, '{"a": 1}', "f", "x"), part(0, '{"a": 2}', "f", "y")]
    with server(lambda to: send(to, chunk(tool_calls=calls) + chunk("tool_calls"))) as address:
        chat = ServerEngine(address, "m").chat()
        chat.say("hi")
        assert [call.id for call in parse_reply("".join(chat.write()), "hermes").calls] == ["x", "y"]


def test_arguments_that_are_no_json_are_a_bad_call_and_not_an_error() -> None:
    with server(lambda to: send(to, chunk(tool_calls=[part(0, '{"city": ', "weather", "x")]) + chunk("tool_calls"))) as address:
        chat = ServerEngine(address, "m").chat()
        chat.say("hi")
        reply = parse_reply("".join(chat.write()), "hermes")
        assert not reply.calls
        assert reply.faults
        chat.observe([Observation("mend it", "unparsable")])
        assert chat.ended == "end"


def test_a_server_that_parses_nothing_is_read_here() -> None:
    text = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
    answers = [chunk(content=text) + chunk("stop"), chunk(content="Cold.") + chunk("stop")]
    sent: list[Any] = []

    class Recording(ServerEngine):
        def __init__(self, address: str) -> None:
            super().__init__(address, "m")
            plain = self.client.chat.completions.create
            self.client.chat.completions.create = lambda **request: (sent.append(request), plain(**request))[1]  # pyright: ignore

    with server(lambda to: send(to, answers.pop(0))) as address:
        loop = ToolLoop(Recording(address), weather_box(), system="Be brief.")
        assert list(loop.run(ASK))[-2] == Answer("Cold.")
    assert [message["role"] for message in sent[1]["messages"]] == ["system", "user", "assistant", "tool"]
    call = sent[1]["messages"][2]["tool_calls"][0]
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert sent[1]["messages"][3]["tool_call_id"] == call["id"]
    assert sent[0]["tools"] == weather_box().tools


def test_every_call_has_an_id_and_every_result_answers_one() -> None:
    call = ToolCall("f", {})
    talk = [
        Message("user", "x"),
        Message("assistant", "", "hm", (call, call, ToolCall("g", {}, "own"))),
        Message("tool", "1", name="f"),
        Message("tool", "3", name="g", call_id="own"),
        Message("tool", "2", name="f"),
        Message("tool", "what could not be read"),
        Message("assistant", "done"),
    ]
    sent = to_messages(talk)
    ids = [one["id"] for one in sent[1]["tool_calls"]]
    assert len(set(ids)) == 3
    assert [one.get("tool_call_id") for one in sent[2:6]] == [ids[0], "own", ids[1], None]
    assert sent[5]["role"] == "user"
    assert "thought" not in sent[1]


def test_what_a_server_cannot_do_is_said() -> None:
    engine = ServerEngine("http://127.0.0.1:1/v1", "m")
    chat = engine.chat()
    with pytest.raises(EngineError, match="say something first"):
        list(chat.write())
    chat.say("hi")
    with pytest.raises(EngineError, match="guided decoding"):
        list(chat.write(constraint=tiny.Script(tiny.engine("llama"))))
    with pytest.raises(EngineError, match="http://"):
        ServerEngine("localhost:8000", "m")
    with pytest.raises(DialectError, match="hermes"):
        engine.speaking("openai")
    assert engine.speaking("gemma").dialect.name == "gemma"
    assert engine.dialect.name == "hermes"
