"""Small rows in the layouts that `fcutils.convert` reads, written for the tests: one conversation said five times; and junk."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]

TOOL = {
    "name": "find_ferry",
    "description": "Ferries between two harbours.",
    "parameters": {
        "type": "object",
        "properties": {
            "origin": {"type": "string", "description": "Where it leaves"},
            "target": {"type": "string"},
            "cars": {"type": "integer"},
        },
        "required": ["origin", "target"],
    },
}
TIDE = {"name": "tide_table", "description": "High water.", "parameters": {"type": "object", "properties": {}}}
QUESTION = "When's the next boat from Oban to Craignure? We have a car."
THOUGHT = "They want a ferry; harbours and one car are known."
ARGUMENTS = {"origin": "Oban", "target": "Craignure", "cars": 1}
RESULT = {"leaves": "14:30", "note": "it's full"}
ANSWER = "The next one leaves at 14:30, but it is full."


def hermes_system(tools: str) -> str:
    return (
        "You are a function calling AI model. You are provided with function signatures within <tools> </tools> XML tags. "
        f"Here are the available tools:<tools> {tools} </tools>For each call return a json object within "
        '<tool_call></tool_call> tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
    )


def thinking() -> Row:
    """Python's quotes in tools, call and result; a thought."""
    call = str({"name": "find_ferry", "arguments": ARGUMENTS})
    turns = [
        ("system", hermes_system(str([{"type": "function", "function": TOOL}, {"type": "function", "function": TIDE}]))),
        ("human", QUESTION),
        ("model", f"<think>{THOUGHT}</think>\n<tool_call>\n{call}\n</tool_call>"),
        ("tool", f"<tool_response>\n{RESULT}\n</tool_response>"),
        ("model", ANSWER),
    ]
    return {"conversations": [{"role": role, "content": text} for role, text in turns]}


def hermes() -> Row:
    """Tools in a column as well; two calls and two results in a turn, each with its name."""
    calls = [
        {"arguments": {}, "name": "tide_table"},
        {"arguments": ARGUMENTS, "name": "find_ferry"},
    ]
    results = [{"name": "find_ferry", "content": RESULT}, {"name": "tide_table", "content": "16:05"}]
    turns = [
        ("system", hermes_system("\n".join(map(json.dumps, (TOOL, TIDE))))),
        ("human", QUESTION),
        ("gpt", "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)),
        ("tool", "\n".join(f"<tool_response>\n{json.dumps(one)}\n</tool_response>" for one in results)),
        ("gpt", ANSWER),
    ]
    tools = [{"type": "function", "function": tool} for tool in (TOOL, TIDE)]
    return {
        "id": "a-1",
        "conversations": [{"from": role, "value": text} for role, text in turns],
        "tools": json.dumps(tools),
        "category": "Travel",
    }


def glaive() -> Row:
    call = f"""<functioncall> {{"name": "find_ferry", "arguments": '{json.dumps(ARGUMENTS)}'}} <|endoftext|>"""
    intro = "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
    turns = [
        f"USER: {QUESTION}",
        f"ASSISTANT: {call}",
        f"FUNCTION RESPONSE: {json.dumps(RESULT)}",
        f"ASSISTANT: {ANSWER} <|endoftext|>",
    ]
    return {
        "system": intro + "\n\n".join(json.dumps(tool, indent=4) for tool in (TOOL, TIDE)) + "\n",
        "chat": "\n\n\n".join(turns) + "\n\n\n",
    }


def xlam() -> Row:
    parameters = {
        "origin": {"description": "Where it leaves", "type": "str"},
        "target": {"description": "Where it lands", "type": "str"},
        "cars": {"description": "How many", "type": "int, optional", "default": 0},
    }
    return {
        "id": 7,
        "query": QUESTION,
        "tools": json.dumps([{"name": "find_ferry", "description": "Ferries.", "parameters": parameters}]),
        "answers": json.dumps([{"name": "find_ferry", "arguments": ARGUMENTS}]),
    }


def toolace() -> Row:
    """Names that no function can have, a schema with Python's types, the results of two calls in one list."""
    ferry = {**deepcopy(TOOL), "name": "Find Ferry/v2", "required": None}
    ferry["parameters"] = {**TOOL["parameters"], "type": "dict"}
    system = (
        "You are an expert in composing functions. If none of the functions can be used, point it out. "
        "Today is 2025-03-09, Sunday. Here is a list of functions in JSON format that you can invoke:\n"
        f"{json.dumps([ferry, TIDE])}. \nShould you decide to return the function call(s). Put it in the format of "
        "[func1(params_name=params_value, params_name2=params_value2...), func2(params)]\n"
    )
    turns = [
        ("user", QUESTION),
        ("assistant", "[Find Ferry/v2(origin=\"Oban\", target='Craignure', cars=1), tide_table()]"),
        ("tool", json.dumps([{"name": "Find Ferry/v2", "results": RESULT}, {"name": "tide_table", "results": ["16:05"]}])),
        ("assistant", ANSWER),
    ]
    return {"system": system, "conversations": [{"from": role, "value": text} for role, text in turns]}


GOOD = {"hermes-thinking": thinking, "hermes": hermes, "glaive": glaive, "xlam": xlam, "toolace": toolace}

# Anything at all, under the keys that the layouts look at.
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["f", "{}", "[]", "USER: a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "value", "role", "content", "name", "parameters", "type", "function", "x", "properties"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KEYS = ["conversations", "tools", "system", "chat", "query", "answers", "id"]
