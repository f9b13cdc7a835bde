"""One reply judged: which scores it earns, and for every miss the reason by name.

Knows what was asked (`rows.py`), what matches (`match.py`) and what a reply is; it does not know engines, files or shares.
A missed turn has one main reason, the first of its misses; the others stand beside it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fcutils.evaluate.match import (
    LEFT_OUT,
    Schema,
    Want,
    example,
    matches,
    pair,
    plain,
    property_of,
    rename,
    type_fits,
    value_matches,
)
from fcutils.evaluate.rows import Ask, asks_something
from fcutils.evaluate.wrong_value import Said, why_wrong
from fcutils.messages import Reply, ToolCall

Reason = Literal[
    "unparsable",  # something that was meant as a call cannot be read; the detail is the parser's fault
    "no call",
    "call where none was due",
    "changed what it should not",  # these four are a dialogue's
    "wrong end state",
    "claimed what is not so",
    "not told",
    "did not ask",  # neither a call nor a question where something is missing
    "no answer",  # silence after a tool's result
    "wrong number of calls",
    "unknown tool",  # nobody offered it; the detail is the nearest one that there is
    "wrong order",  # a call that another step of the same request wants
    "wrong tool",  # one that is there, but not the one that was wanted
    "missing argument",
    "invented argument",
    "wrong type",
    "wrong value",  # the detail is why: copied, unit, format, choice, invented
]
REASONS: tuple[Reason, ...] = get_args(Reason)  # in order of weight

NO_CALL = "(no call)"
_LONG, _NAME = 300, 100  # characters of a value and of a name, as they are shown


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing that is wrong: the reason, what it is about, and both sides of it."""

    reason: Reason
    detail: str = ""
    where: str = ""  # a tool, or a tool's parameter
    wanted: str = ""
    wrote: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        sides = f": wanted {self.wanted or 'nothing'}, got {self.wrote or 'nothing'}" if self.wanted or self.wrote else ""
        return f"{self.reason}{detail}{' at ' + self.where if self.where else ''}{sides}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply earned: scores that apply to it, misses (the main one first), and tools as (wanted, called)."""

    marks: Mapping[str, bool]
    misses: tuple[Miss, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()
    calls: tuple[ToolCall, ...] = field(default=())


def judge(ask: Ask, reply: Reply) -> Verdict:
    """What this reply is worth where `ask` was asked."""
    calls = rename(reply.calls, ask.names)
    marks = {"parses": not reply.faults}
    if ask.kind == "call":
        return _judge_calls(ask, reply, calls, marks)
    quiet = not calls and not reply.faults
    misses: list[Miss] = list(_unparsable(ask, reply))
    if calls:
        misses.append(Miss("call where none was due", where=calls[0].name, wrote=show_calls(calls)))
    if ask.kind == "nothing":
        marks["holds back"] = quiet
    elif ask.kind == "missing":
        marks["asks"] = quiet and asks_something(reply.content)
        if quiet and not marks["asks"]:
            misses.append(Miss("did not ask", wanted=ask.gold.content[:_LONG], wrote=reply.content[:_LONG]))
    else:
        marks["answers"] = quiet and bool(reply.content)
        if quiet and not reply.content:
            misses.append(Miss("no answer", wanted=ask.gold.content[:_LONG]))
    return Verdict(marks, _by_weight(misses), tuple((NO_CALL, call.name[:_NAME]) for call in calls[:20]), calls)


def _judge_calls(ask: Ask, reply: Reply, calls: tuple[ToolCall, ...], marks: dict[str, bool]) -> Verdict:
    paired = pair(calls, ask.wants)
    names = sorted(wanted.name for wanted in ask.wants)
    whole = len(paired) == len(ask.wants) == len(calls) and not reply.faults
    marks |= {"calls": bool(calls), "right tool": sorted(call.name for call in calls) == names, "whole call": whole}
    if marks["right tool"]:
        marks["right arguments"] = len(paired) == len(ask.wants)
    if len(ask.wants) > 1:
        marks["parallel"] = whole
    left_calls = [call for number, call in enumerate(calls) if number not in paired.values()]
    left_wants = [wanted for number, wanted in enumerate(ask.wants) if number not in paired]
    couples = list(_couples(left_calls, left_wants))
    misses = [*_unparsable(ask, reply), *_wrong_number(ask, calls, reply)]
    said = Said.of(_text_before(ask) if couples else "")
    for call, wanted in couples:
        misses += _wrong_call(ask, call, wanted, said)
    tools = [(wanted.name, wanted.name) for number, wanted in enumerate(ask.wants) if number in paired]
    tools += [(wanted.name, call.name[:_NAME]) for call, wanted in couples]
    partnered = [wanted for _, wanted in couples]
    tools += [(wanted.name, NO_CALL) for wanted in left_wants if not any(wanted is one for one in partnered)]
    return Verdict(marks, _by_weight(misses), tuple(tools), calls)


def _text_before(ask: Ask) -> str:
    return "\n".join(message.content for message in ask.prompt.messages if message.role in ("user", "tool"))


def _unparsable(ask: Ask, reply: Reply) -> Iterator[Miss]:
    for fault in reply.faults[:20]:
        wrote = reply.text[fault.start : fault.end][:_LONG]
        yield Miss("unparsable", f"{fault.kind}: {fault.reason}", wanted=_show_wants(ask.wants), wrote=wrote)


def _wrong_number(ask: Ask, calls: Sequence[ToolCall], reply: Reply) -> Iterator[Miss]:
    if not calls and not reply.faults:
        yield Miss("no call", wanted=_show_wants(ask.wants), wrote=reply.content[:_LONG])
    elif calls and len(calls) != len(ask.wants):
        counts = f"{len(calls)} for {len(ask.wants)}"
        yield Miss("wrong number of calls", counts, wanted=_show_wants(ask.wants), wrote=show_calls(calls))


def _couples(calls: Sequence[ToolCall], wants: Sequence[Want]) -> Iterator[tuple[ToolCall, Want]]:
    """Each wanted call with the one that was probably meant for it: of the same name, with most arguments right."""
    free = list(calls[:200])
    for wanted in sorted(wants, key=lambda wanted: -max((_closeness(call, wanted) for call in free), default=0.0)):
        if free:
            best = max(free, key=lambda call: _closeness(call, wanted))
            free.remove(best)
            yield best, wanted


def _closeness(call: ToolCall, wanted: Want) -> float:
    right = sum(
        value_matches(call.arguments[name], answers, property_of(wanted.parameters, name))
        for name, answers in wanted.accept.items()
        if name in call.arguments
    )
    return (call.name == wanted.name) * 1000 + right


def _wrong_call(ask: Ask, call: ToolCall, wanted: Want, said: Said) -> Iterator[Miss]:
    if call.name == wanted.name:
        yield from _wrong_arguments(call.arguments, wanted.accept, wanted.parameters, said, wanted.name)
    elif call.name not in ask.names:
        nearest = difflib.get_close_matches(call.name[:_NAME], ask.names, 1, cutoff=0.5)
        yield Miss("unknown tool", f"nearest: {nearest[0]}" if nearest else "", wanted=wanted.name, wrote=call.name[:_NAME])
    else:
        out_of_turn = any(matches(call, other) for other in ask.elsewhere)
        yield Miss("wrong order" if out_of_turn else "wrong tool", wanted=wanted.name, wrote=call.name)


def _wrong_arguments(
    given: Mapping[str, Any], accept: Mapping[str, Sequence[Any]], schema: Schema, said: Said, where: str
) -> Iterator[Miss]:
    """What is wrong with the arguments of a call to the right tool, or with the keys of an object in one."""
    for name, answers in accept.items():
        place, known = f"{where}.{name}", property_of(schema, name)
        if name not in given:
            if LEFT_OUT not in answers:
                yield Miss("missing argument", where=place, wanted=_shown_answers(answers))
            continue
        value = given[name]
        if value_matches(value, answers, known):
            continue
        sides = {"where": place, "wanted": _shown_answers(answers), "wrote": _shown(value)}
        inner = next((answer for answer in answers if isinstance(answer, Mapping)), None)
        if isinstance(value, Mapping) and inner is not None:
            yield from _wrong_arguments(value, inner, known, said, place)
        elif all(answer is LEFT_OUT for answer in answers):
            yield Miss("invented argument", "not asked for", place, wrote=_shown(value))
        elif not type_fits(value, answers, known):
            yield Miss("wrong type", type(value).__name__, **sides)
        else:
            yield Miss("wrong value", why_wrong(value, answers, known, said), **sides)
    properties = schema.get("properties", {})
    for name in [name for name in given if name not in accept][:20]:
        detail = "not asked for" if name in properties else "not in the schema"
        yield Miss("invented argument", detail, f"{where}.{name[:_NAME]}", wrote=_shown(given[name]))


def _by_weight(misses: Sequence[Miss]) -> tuple[Miss, ...]:
    return tuple(sorted(misses, key=lambda miss: REASONS.index(miss.reason)))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _LONG else text[:_LONG] + "…"


def _shown_answers(answers: Sequence[Any]) -> str:
    return " or ".join(_shown(plain(answer)) for answer in answers if answer is not LEFT_OUT)[:_LONG]


def show_calls(calls: Sequence[ToolCall]) -> str:
    """Calls on one line, cut where there are too many."""
    shown = []
    for call in calls[:10]:
        arguments = ", ".join(f"{key[:_NAME]}={_shown(value)}" for key, value in call.arguments.items())
        shown.append(f"{call.name[:_NAME]}({arguments})")
    return ("; ".join(shown) + (f"; and {len(calls) - 10} more" if len(calls) > 10 else ""))[:1500]


def _show_wants(wants: Sequence[Want]) -> str:
    return show_calls([example(wanted) for wanted in wants])
