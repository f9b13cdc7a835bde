"""Text made to be slow to read: for each name, a function of a size in characters.

The benchmark of parsing times it, and a test counts the work.
"""

from __future__ import annotations

from collections.abc import Callable


def again(unit: str, before: str = "", after: str = "") -> Callable[[int], str]:
    """A text of about n characters: `unit` over and over, whole, between `before` and `after`."""
    return lambda n: before + unit * ((n - len(before) - len(after)) // len(unit)) + after


CALL = '<tool_call>{"name": "f", "arguments": {"a": '
ADVERSARIAL: dict[str, Callable[[int], str]] = {
    "opening tags": again("<tool_call>"),
    "opening tags and braces": again("<tool_call>{"),
    "opening tags and quotes": again('<tool_call>{"'),
    "opening tags and quotes of both kinds": again("<tool_call>{'<tool_call>{\""),
    "quotes that change sides": again("<tool_call>{'\",':\""),
    "half a call, again and again": again('<tool_call>{"name": "f", "arguments": {"a": "'),
    "a closed tag in an open string": again('<tool_call>{"</tool_call>"x'),
    "closing tags": again("</tool_call>"),
    "closing tags in a string": again("</tool_call>", CALL + '"'),
    "half a tag": again("<tool_cal"),
    "angle brackets": again("<"),
    "braces": again("{"),
    "brackets": again("["),
    "brackets and braces": again("[{"),
    "braces in a call": again('{"a":', "<tool_call>"),
    "brackets in a call": again("[", CALL),
    "braces and quotes": again('{"'),
    "names without end": again('{"name":'),
    "objects in prose": again('{"name": "f", "arguments": {}}, '),
    "quotes": again('"', "<tool_call>{"),
    "backslashes": again("\\", CALL + '"'),
    "escaped quotes": again('\\"', CALL + '"'),
    "unicode escapes": again("\\u0041", CALL + '"', '"}}'),
    "fences": again("```"),
    "fences and braces": again("```json\n{"),
    "fenced halves": again('```json\n{"name": "f", "arguments": '),
    "thoughts": again("<think>"),
    "thoughts, closed": again("<think></think>"),
    "turn ends": again("</s>"),
    "Mistral markers": again("[TOOL_CALLS]"),
    "Mistral heads": again("[TOOL_CALLS]a{"),
    "a Mistral name without end": again("a", "[TOOL_CALLS]"),
    "Mistral ids": again("[TOOL_CALLS]a[CALL_ID]"),
    "FunctionGemma calls": again("<start_function_call>call:f{a:<escape>"),
    "FunctionGemma quotes": again("<escap", "<start_function_call>call:f{a:<escape>"),
    "Python calls": again("[f("),
    "a Python call of many arguments, cut off": again("a=1, ", "[f("),
    "a list of Python calls": again("f(a=1), ", "["),
    "Glaive": again('<functioncall> {"name": "f", "arguments": \'{"a": \'x'),
    "Glaive's apostrophes": again("it's ", '<functioncall> {"name": "f", "arguments": \'{"a": "'),
    "a number without end": again("1", CALL),
    "numbers": again("1,", CALL + "["),
    "empty objects": again("{},", CALL + "["),
    "empty keys": again('"":0,', "<tool_call>{"),
    "white space": again(" ", "<tool_call>"),
    "white space after a key": again(" ", '<tool_call>{"name"'),
    "junk": again("{'\"}", CALL + "oops "),
    "bad calls": again('<tool_call>{"name": oops}</tool_call>'),
    "good calls": again('<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n'),
    "one long string": again("x", CALL + '"', '"}}</tool_call>'),
    "prose": again("The quick {brown} fox [jumps] `over` the <b>lazy</b> dog. "),
}
