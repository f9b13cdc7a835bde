"""MCP, both ways: a toolbox as a server, a server as a toolbox. The protocol itself is the `mcp` package's.

    python -m fcutils.mcp fcutils.usecases.calculator:toolbox       # serves over stdin and stdout

What a server says of its tools is text from outside (`foreign.py`), and so is what it answers. Every one of its tools asks for
approval unless whoever connects says otherwise: what a server says about its own harmlessness counts for nothing. The tools
stay as they were when the connection was made. Whatever happens to the server later, a call gives an observation.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import json
import logging
import sys
import tempfile
import threading
import warnings
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import mcp_types as types
from mcp import Client, ClientSession, MCPError, StdioServerParameters, stdio_client, stdio_server
from mcp.server import Server
from pydantic import ValidationError

from fcutils.foreign import ForeignError, complaint, foreign_schema
from fcutils.messages import ObservationKind, ToolCall, dumps
from fcutils.schema import Schema
from fcutils.tool import Outcome, Tool, describe
from fcutils.toolbox import MAX_OUTPUT, Approver, Toolbox

GRACE = 5.0  # seconds beyond its limit in which a call is to come back by itself
MOST_TOOLS = 1_000
_KIND = "fcutils/kind"  # under which an observation's kind travels
logging.getLogger("mcp").addHandler(logging.NullHandler())  # what goes wrong is told by observations, not on the screen


class McpError(RuntimeError):
    """A server that cannot be reached or understood: says which one, and why."""


class McpWarning(UserWarning):
    """A tool of a server's that is left out."""


# ---- a toolbox as a server -------------------------------------------------------------------------------------------


def serve(toolbox: Toolbox, name: str = "fcutils") -> None:
    """Serves the tools over stdin and stdout until the client is gone. What tools print goes to stderr."""

    async def run() -> None:
        made = server(toolbox, name)
        async with stdio_server() as (inlet, outlet):
            await made.run(inlet, outlet, made.create_initialization_options())

    asyncio.run(run())


def server(toolbox: Toolbox, name: str = "fcutils") -> Server[Any]:
    """The tools as a server of the SDK's, for other transports. Calls go through the toolbox like all others: checked, approved
    by the toolbox's own approver, written down.
    """

    async def tools(context: Any, page: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_told(schema["function"]) for schema in toolbox.tools])

    async def call(context: Any, asked: types.CallToolRequestParams) -> types.CallToolResult:
        observation = await toolbox.acall(ToolCall(asked.name, asked.arguments or {}))
        content = observation.content
        text = types.TextContent(type="text", text=content if isinstance(content, str) else dumps(content))
        structured = content if observation.ok and isinstance(content, dict) else None
        return types.CallToolResult(
            content=[text], structured_content=structured, is_error=not observation.ok, _meta={_KIND: observation.kind}
        )

    return Server(name, on_list_tools=tools, on_call_tool=call)


def _told(function: Mapping[str, Any]) -> types.Tool:
    return types.Tool(name=function["name"], description=function["description"], input_schema=function["parameters"])


# ---- a server as a toolbox -------------------------------------------------------------------------------------------


class ServerTools(Toolbox):
    """The tools of a server. Close it when it is not needed any more; `with` does so."""

    def __init__(self, line: _Line, approve: bool | Approver, free: Collection[str], max_output: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._line = line
        strange = sorted(set(free) - {tool.name for tool in line.tools})
        if strange:
            raise McpError(f"{line.name} has no tool {', '.join(map(repr, strange))}; it has {_few(line.tools)}")
        for told in line.tools:
            try:
                schema = foreign_schema(told.name, told.description, told.input_schema)
                self._enter(schema, _Remote(line, told.name, schema, max_output), told.name not in free and approve)
            except ValueError as error:
                warnings.warn(f"{line.name}: tool {told.name[:80]!r} is left out: {error}", McpWarning, stacklevel=3)

    def close(self) -> None:
        """End the connection, and the server if it was started here. Calls come back as `crashed` from now on."""
        self._line.close()

    def __enter__(self) -> ServerTools:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def from_server(
    where: str | Sequence[str] | Any,
    *,
    approve: bool | Approver = True,
    free: Collection[str] = (),
    timeout: float = 30.0,
    max_output: int = MAX_OUTPUT,
    environment: Mapping[str, str] | None = None,
    on_approve: Approver | None = None,
    journal: str | Path | None = None,
) -> ServerTools:
    """The tools of a server: a command that is to be started (a list of words), an address, or a server in this process.

    `approve`: as in `Toolbox.add`, for all tools but those named in `free`. `timeout`: seconds for the connection, and for each
    call. A command gets only the most necessary of this process's environment, and what `environment` adds.
    """
    line = _Line(where, timeout, environment)
    try:
        return ServerTools(line, approve, free, max_output, on_approve=on_approve, journal=journal)
    except BaseException:
        line.close()
        raise


class _Remote(Tool):
    """One tool of a server's: arguments are checked here, too, and results are cut to size like all others."""

    def __init__(self, line: _Line, name: str, schema: Schema, max_output: int) -> None:
        self.properties = schema["function"]["parameters"]["properties"]
        self.max_output, self.returns = max_output, None
        self._line, self._name, self._parameters = line, name, schema["function"]["parameters"]

    def read(self, arguments: Any) -> tuple[str, Any] | Outcome:
        try:
            wrong = complaint(arguments, self._parameters)
            text = "" if wrong else _as_sent(self._name, arguments)
        except Exception as error:  # not JSON, or nothing that can be sent
            wrong = f"The arguments cannot be read: {describe(error)[:300]}"
        return Outcome(wrong, "invalid_arguments") if wrong else (text, arguments)

    def run(self, instance: Any) -> Outcome:
        try:
            result = self._line.call(self._name, dict(instance))
        except MCPError as error:
            return self._of_kind(*self._line.explain(error))
        except ValidationError as error:
            return self._of_kind(f"The server answered with something else than a result: {describe(error)}", "bad_result")
        except Exception as error:
            return self._of_kind(f"The call did not get through to the server: {describe(error)}", "failed")
        told: Any = (result.meta or {}).get(_KIND)
        kind: ObservationKind = told if told != "ok" and told in get_args(ObservationKind) else "failed"
        return self._of_kind(_content(result), kind if result.is_error else "ok")

    def _of_kind(self, content: Any, kind: ObservationKind) -> Outcome:
        settled = self._settle(content)
        return Outcome(settled.content, kind if settled.kind == "ok" else settled.kind, settled.truncated)


def _as_sent(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as it will travel. What is no JSON, or cannot travel (half a character, hundreds of lists in each other) raises:
    on its way it would break the connection.
    """
    call = json.loads(json.dumps({"name": name, "arguments": dict(arguments)}, allow_nan=False))
    return types.JSONRPCRequest(jsonrpc="2.0", id=0, method="tools/call", params=call).model_dump_json()


def _content(result: types.CallToolResult) -> Any:
    """A result as the model may read it. Pictures and sounds are named, not shown."""
    if result.structured_content is not None and not result.is_error:
        return result.structured_content
    shown = [block.text if isinstance(block, types.TextContent) else f"[{block.type}, not shown]" for block in result.content]
    return "\n".join(shown)


def _few(tools: Sequence[types.Tool]) -> str:
    names = [repr(tool.name[:80]) for tool in tools[:10]]
    return ", ".join(names) + (f" and {len(tools) - 10} more" if len(tools) > 10 else "") if names else "none"


class _Line:
    """One connection, held by a thread with an event loop of its own, so that tools can be called from anywhere."""

    def __init__(self, where: Any, timeout: float, environment: Mapping[str, str] | None) -> None:
        self.timeout = timeout
        self.name = " ".join(where) if isinstance(where, list | tuple) else str(where) if isinstance(where, str) else "server"
        self._log: Any = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed by close()
        self._noise: str | None = None  # the last thing it said that is no message
        self._loop = asyncio.new_event_loop()
        self._ready: Future[tuple[ClientSession, list[types.Tool]]] = Future()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._live, args=(self._transport(where, environment),), daemon=True)
        self._thread.start()
        atexit.register(self.close)
        try:
            self._session, self.tools = self._ready.result(timeout + GRACE)
        except Exception as error:
            raise McpError(f"{self.name}: no connection: {self._why(error)}") from None
        finally:
            if not self._ready.done() or self._ready.exception():
                self.close()

    def call(self, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """What the server answers. The request is sent as it is: the SDK's own check of results trusts the server's schemas."""
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments))
        asking = self._session.send_request(request, types.CallToolResult, request_read_timeout_seconds=self.timeout)
        try:
            self._noise = None
            work = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:
            asking.close()
            raise MCPError(types.CONNECTION_CLOSED, "the connection was closed") from None
        try:
            return work.result(self.timeout + GRACE)
        except TimeoutError:
            raise MCPError(types.REQUEST_TIMEOUT, "no sign of life") from None
        except CancelledError:
            raise MCPError(types.CONNECTION_CLOSED, "the connection was closed") from None
        finally:
            work.cancel()  # Ctrl-C, and what outstays its limit

    def explain(self, error: MCPError) -> tuple[str, ObservationKind]:
        """An error of the protocol's in words, and as a kind of observation."""
        if error.code == types.REQUEST_TIMEOUT and self._noise:
            return f"The server answered with something that is no message: {self._noise}", "bad_result"
        if error.code == types.REQUEST_TIMEOUT:
            return f"It was stopped: the server took longer than {self.timeout:g} s.", "timed_out"
        if error.code == types.CONNECTION_CLOSED:
            return f"The server is gone.{self._last_words()} Connect again with from_server().", "crashed"
        return f"The server says: {error.message}", "invalid_arguments" if error.code == types.INVALID_PARAMS else "failed"

    def close(self) -> None:
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(2 * GRACE)
        self._log.close()
        atexit.unregister(self.close)

    # ---- in its own thread -----------------------------------------------------------------------------------------

    def _live(self, transport: Any) -> None:
        with suppress(Exception, asyncio.CancelledError), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._hold(transport))

    async def _hold(self, transport: Any) -> None:
        try:
            async with asyncio.timeout(self.timeout) as limit:
                async with Client(transport, message_handler=self._hear, read_timeout_seconds=self.timeout) as client:
                    tools = await _listed(client)
                    limit.reschedule(None)
                    self._ready.set_result((client.session, tools))
                    await self._closing.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _hear(self, message: Any) -> None:
        if isinstance(message, Exception):
            self._noise = " ".join(str(message).split())[:200]

    def _transport(self, where: Any, environment: Mapping[str, str] | None) -> Any:
        if not isinstance(where, list | tuple):
            return where
        command, *words = map(str, where)
        started = StdioServerParameters(
            command=command, args=words, env=dict(environment or {}), encoding_error_handler="replace"
        )
        return stdio_client(started, errlog=self._log)

    def _why(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            error = TimeoutError(f"nothing that is MCP within {self.timeout:g} s; {self._noise or ''}")
        return describe(error) + self._last_words()

    def _last_words(self) -> str:
        """What the server wrote last, where it may complain."""
        with suppress(ValueError, OSError):
            self._log.seek(0)
            lines = self._log.read()[-2_000:].split("\n")
            said = next((line.strip() for line in reversed(lines) if line.strip()), "")
            return f" Its last words: {said[:200]}" if said else ""
        return ""


async def _listed(client: Client) -> list[types.Tool]:
    """All tools of a server, page by page."""
    tools: list[types.Tool] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if len(tools) > MOST_TOOLS:
            raise ForeignError(f"more than {MOST_TOOLS} tools")
        if page.next_cursor is None or not page.tools:
            return tools
        cursor = page.next_cursor


def main(arguments: Sequence[str]) -> int:
    """Serves the toolbox named MODULE:NAME, or what a function of that name gives."""
    module, colon, name = (arguments[0] if len(arguments) == 1 else "").partition(":")
    if not colon:
        print("usage: python -m fcutils.mcp MODULE:NAME    (a Toolbox, or a function that makes one)", file=sys.stderr)
        return 2
    found = getattr(importlib.import_module(module), name)
    serve(found if isinstance(found, Toolbox) else found())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
