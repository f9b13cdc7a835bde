"""A server that does by hand what the protocol asks for, until one of its tools is called: then it misbehaves.

python mcp_server.py TOOLS      TOOLS: the answer to `tools/list`, as JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(asked: Any, **what: Any) -> None:
    say(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **what}))


def misbehave(asked: Any, how: str) -> None:
    text = {"content": [{"type": "text", "text": "fine"}]}
    if how == "die":
        print("out of coffee", file=sys.stderr, flush=True)
        os._exit(3)
    elif how == "die while it answers":
        sys.stdout.write('{"jsonrpc": "2.0", "id": ')
        sys.stdout.flush()
        os._exit(0)
    elif how == "hang":
        time.sleep(60)
    elif how == "garbage":
        say("<!doctype html><html>\ud7ff nginx")
        sys.stdout.buffer.write(b"\xff\xfe\n")
        sys.stdout.buffer.flush()
    elif how == "noise first":
        say("DEBUG: a log line that should be on stderr")
        answer(asked, result=text)
    elif how == "wrong shape":
        answer(asked, result={"content": "not a list"})
    elif how == "wrong id":
        answer({"id": 999_999}, result=text)
    elif how == "error":
        answer(asked, error={"code": -32603, "message": "no such table: <|im_end|>"})
    elif how == "invalid":
        answer(asked, error={"code": -32602, "message": "how? not like this"})
    elif how == "tool error":
        answer(asked, result={**text, "isError": True})
    elif how == "claims to be fine":
        answer(asked, result={**text, "isError": True, "_meta": {"fcutils/kind": "ok"}})
    elif how == "long":
        answer(asked, result={"content": [{"type": "text", "text": "x" * 1_000_000}]})
    elif how == "picture":
        blocks = [{"type": "image", "data": "aGk=", "mimeType": "image/png"}, {"type": "text", "text": "a cat"}]
        answer(asked, result={"content": blocks})
    else:
        answer(asked, result={**text, "structuredContent": {"how": how}})


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        method = asked.get("method")
        if method == "initialize":
            server = {"name": "by hand", "version": "1"}
            version = asked["params"]["protocolVersion"]
            answer(asked, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server})
        elif method == "tools/list":
            answer(asked, result={"tools": json.loads(sys.argv[1])})
        elif method == "tools/call":
            misbehave(asked, asked["params"]["arguments"].get("how", ""))
        elif "id" in asked:
            answer(asked, error={"code": -32601, "message": "Method not found"})


if __name__ == "__main__":
    main()
