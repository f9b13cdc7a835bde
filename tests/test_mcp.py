"""MCP both ways: over stdio with real processes, and in this one; servers that break, hang, lie, and say poisonous things."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from mcp.client._memory import InMemoryTransport

from fcutils import mcp
from fcutils.mcp import McpError, from_server, server
from fcutils.messages import ToolCall
from fcutils.toolbox import Toolbox

CALCULATOR = [sys.executable, "-m", "fcutils.mcp", "fcutils.usecases.calculator:toolbox"]
BY_HAND = [sys.executable, str(Path(__file__).with_name("mcp_server.py"))]
PLAIN = {"name": "do", "description": "Do it.", "inputSchema": {"type": "object", "properties": {"how": {"type": "string"}}}}
HERE = ["in process", "memory streams"]
AMPLE = 180.0  # seconds to start a process, on a busy machine


def by_hand(*tools: Any, **options: Any) -> Any:
    return from_server([*BY_HAND, json.dumps(tools or [PLAIN])], **{"approve": False, "timeout": AMPLE, **options})


def connected(box: Toolbox, how: str, **options: Any) -> Any:
    where = server(box) if how == "in process" else InMemoryTransport(server(box))
    return from_server(where, **{"approve": False, **options})


def box_of_tools() -> Toolbox:
    box = Toolbox()

    @box.tool
    def add(a: int, b: int = 1) -> int:
        """Add two numbers.

        Args:
            a: The one
            b: The other
        """
        return a + b

    @box.tool
    def echo(value: dict[str, Any]) -> dict[str, Any]:
        """Give it back.

        Args:
            value: What
        """
        return value

    @box.tool
    async def fail(why: str) -> str:
        """Fail.

        Args:
            why: Why
        """
        raise LookupError(why)

    return box


# ---- there and back ----------------------------------------------------------------------------------------------------


def test_a_toolbox_of_another_process() -> None:
    with from_server(CALCULATOR, approve=False, timeout=AMPLE) as box:
        assert box.names == ("calculate",)
        assert box.call(ToolCall("calculate", {"expression": "6 * 7"})).content == {"expression": "6 * 7", "result": 42}
        assert asyncio.run(box.acall(ToolCall("calculate", {"expression": "1 + 1"}))).content["result"] == 2
        failed = box.call(ToolCall("calculate", {"expression": "import os"}))
        assert failed.kind == "failed"
        assert "no arithmetic expression" in failed.content
    assert box.call(ToolCall("calculate", {"expression": "1"})).kind == "crashed", "closed is closed"


def test_what_a_tool_prints_or_reads_stays_off_the_wire(tmp_path: Path) -> None:
    module = tmp_path / "chatty.py"
    module.write_text(
        "from fcutils.toolbox import Toolbox\nbox = Toolbox()\n"
        "@box.tool\ndef chat(line: str) -> str:\n    '''Print.\n\n    Args:\n        line: What\n    '''\n"
        "    import os, sys\n    print(line, flush=True)\n    os.write(1, b'{}\\n')\n    return repr(sys.stdin.read())\n"
    )
    command = [sys.executable, "-m", "fcutils.mcp", "chatty:box"]
    path = {"PYTHONPATH": os.pathsep.join(map(str, [tmp_path, Path(mcp.__file__).parents[1]]))}
    with from_server(command, approve=False, environment=path, timeout=AMPLE) as box:
        assert box.call(ToolCall("chat", {"line": '{"jsonrpc": "2.0"}'})).content == "''"


@pytest.mark.parametrize("how", HERE)
def test_a_toolbox_of_this_process(how: str) -> None:
    own = box_of_tools()
    with connected(own, how) as box:
        told = {tool["function"]["name"]: tool["function"] for tool in box.tools}
        assert told == {tool["function"]["name"]: tool["function"] for tool in own.tools}
        value = {"": None, "é\n": [1, 2.5, {"a": True, "b": []}], "外": "🙂"}
        calls = [ToolCall("add", {"a": n}, f"id{n}") for n in range(40)] + [ToolCall("echo", {"value": value})]
        for seen in (box.call_all(calls), asyncio.run(box.acall_all(calls))):
            assert [one.content for one in seen] == [*(str(n + 1) for n in range(40)), value]
            assert [one.call_id for one in seen[:2]] == ["id0", "id1"]
        failed = box.call(ToolCall("fail", {"why": "no <tool_call>"}))
        assert (failed.kind, failed.content) == ("failed", "LookupError: no <tool_call>")


@pytest.mark.parametrize("how", HERE)
def test_a_bad_call_is_answered_here_and_does_not_travel(how: str) -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with connected(box_of_tools(), how) as box:
        bad = [{"a": "1"}, {}, {"a": 1, "c": 2}, {"a": True}, [1], {"a": 10**30 + 0.5}]
        bad += [{"a": 1, "b": float("nan")}, {"a": "\ud800"}]
        assert [box.call(ToolCall("add", one)).kind for one in bad] == ["invalid_arguments"] * len(bad)
        for value in ({"x": deep}, {"x": "\ud800"}, {"\ud800": 1}, {"x": {1, 2}}, {"x": float("nan")}):
            assert box.call(ToolCall("echo", {"value": value})).kind == "invalid_arguments"
        assert box.call(ToolCall("ad", {"a": 1})).kind == "unknown_tool"
        assert "must be" in box.call(ToolCall("add", {})).content or "required" in box.call(ToolCall("add", {})).content
        assert box.call(ToolCall("add", {"a": 1})).content == "2", "and the connection still stands"


def test_toolboxes_merge_and_go_through_both_ends() -> None:
    with connected(box_of_tools(), "in process") as theirs:
        own = Toolbox()
        own.add(lambda: "own", name="own")
        both = own | theirs
        with connected(both, "memory streams") as again:
            assert again.names == ("own", "add", "echo", "fail")
            assert again.call(ToolCall("add", {"a": 1})).content == "2"


def test_the_command_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert mcp.main([]) == mcp.main(["fcutils.usecases.calculator"]) == 2
    assert "MODULE:NAME" in capsys.readouterr().err


# ---- approval ----------------------------------------------------------------------------------------------------------


def test_every_tool_of_a_server_asks_for_approval_whatever_it_says_of_itself() -> None:
    harmless = {**PLAIN, "annotations": {"readOnlyHint": True, "destructiveHint": False}}
    asked: list[ToolCall] = []
    with by_hand(harmless, approve=True) as box:
        assert box.call(ToolCall("do", {"how": "well"})).kind == "refused", "with nobody to ask"
    with by_hand(harmless, approve=True, on_approve=lambda call: asked.append(call) or "not today") as box:
        refused = box.call(ToolCall("do", {"how": "well"}))
        assert (refused.kind, refused.content) == ("refused", "Not approved: not today.")
        assert [call.arguments for call in asked] == [{"how": "well"}]
        merged = Toolbox(on_approve=lambda call: True) | box
        assert merged.call(ToolCall("do", {"how": "well"})).kind == "refused", "its own approver still decides"
    with by_hand(harmless, {**PLAIN, "name": "other"}, approve=True, free=["do"]) as box:
        assert [box.call(ToolCall(name, {})).kind for name in ("do", "other")] == ["ok", "refused"]
    with pytest.raises(McpError, match="no tool 'wipe'; it has 'do'"):
        by_hand(harmless, free=["wipe"])


@pytest.mark.parametrize("how", HERE)
def test_a_served_toolbox_asks_its_own_approver(how: str) -> None:
    own = Toolbox(on_approve=lambda call: call.arguments["amount"] < 10)
    ran: list[int] = []

    @own.tool(approve=True)
    def pay(amount: int) -> str:
        """Pay.

        Args:
            amount: How much
        """
        ran.append(amount)
        return "paid"

    with connected(own, how) as box:
        seen = [box.call(ToolCall("pay", {"amount": amount})) for amount in (5, 50)]
    assert [one.kind for one in seen] == ["ok", "refused"]
    assert ran == [5]


def test_calls_are_on_record_at_both_ends(tmp_path: Path) -> None:
    own = Toolbox(journal=tmp_path / "server.jsonl")
    own.add(lambda: "done", name="act")
    with connected(own, "in process", journal=tmp_path / "client.jsonl") as box:
        box.call(ToolCall("act"))
    for end in ("server", "client"):
        lines = [json.loads(line) for line in (tmp_path / f"{end}.jsonl").read_text().splitlines()]
        assert [line["event"] for line in lines] == ["call", "observation"]


# ---- servers that misbehave --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("hang", "timed_out", "longer than 1.5 s"),
        ("garbage", "bad_result", "no message"),
        ("wrong shape", "bad_result", "something else than a result"),
        ("wrong id", "timed_out", "longer than"),
        ("error", "failed", "no such table"),
        ("invalid", "invalid_arguments", "not like this"),
        ("tool error", "failed", "fine"),
        ("claims to be fine", "failed", "fine"),
        ("noise first", "ok", "fine"),
        ("picture", "ok", "[image, not shown]\na cat"),
        ("else", "ok", "else"),
    ],
)
def test_whatever_it_does_there_is_an_observation_of_a_kind(how: str, kind: str, words: str) -> None:
    with by_hand() as box:
        box._line.timeout = 1.5
        seen = box.call(ToolCall("do", {"how": how}))
        assert seen.kind == kind
        assert words in str(seen.content)
        if how not in ("hang", "garbage"):
            assert box.call(ToolCall("do", {})).kind == "ok", "and the next call goes through"


@pytest.mark.parametrize("how", ["die", "die while it answers"])
def test_a_server_that_dies(how: str) -> None:
    with by_hand() as box:
        for _ in range(2):
            seen = box.call(ToolCall("do", {"how": how}))
            assert seen.kind == "crashed"
            assert "Connect again" in seen.content
            assert how != "die" or "out of coffee" in seen.content


def test_a_server_that_dies_takes_every_waiting_call_with_it_and_no_other_server() -> None:
    with by_hand() as box, by_hand() as other:
        calls = [ToolCall("do", {"how": how}) for how in ("die", "hang", "hang ", "hang")]
        assert [one.kind for one in box.call_all(calls)][::3] == ["crashed", "crashed"]
        assert other.call(ToolCall("do", {})).kind == "ok"


def test_long_results_are_cut_with_a_mark() -> None:
    with by_hand(max_output=500) as box:
        seen = box.call(ToolCall("do", {"how": "long"}))
    assert (seen.kind, seen.truncated) == ("ok", True)
    assert len(seen.content) == 500
    assert "cut: 1,000,000 characters" in seen.content


def test_no_connection_is_explained() -> None:
    noisy = "print('<html>', flush=True); import time; time.sleep(60)"
    for command, timeout, words in [
        (["no-such-command"], AMPLE, "No such file"),
        ([sys.executable, "-c", "import sys; sys.exit('give me a key')"], AMPLE, "give me a key"),
        ([sys.executable, "-c", noisy], 1, "nothing that is MCP within 1 s"),
    ]:
        with pytest.raises(McpError, match=words):
            from_server(command, timeout=timeout)
    with pytest.raises(McpError, match="no connection"):
        from_server("http://127.0.0.1:9/mcp", timeout=2)


def test_its_process_ends_with_the_connection_and_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    shows = "import os, sys; sys.exit(os.environ.get('OPENAI_API_KEY', 'nothing here'))"
    with pytest.raises(McpError, match="nothing here"):
        from_server([sys.executable, "-c", shows], timeout=AMPLE)
    threads = threading.active_count()
    box = by_hand()
    assert threading.active_count() > threads
    box.close()
    box.close()
    assert threading.active_count() == threads
    assert box.call(ToolCall("do", {})).kind == "crashed"


def test_ctrl_c_leaves_a_connection_that_goes_on() -> None:
    with by_hand() as box:
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            box.call(ToolCall("do", {"how": "wrong id"}))
        assert box.call(ToolCall("do", {})).kind == "ok"
