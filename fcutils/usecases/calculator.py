"""A calculator that evaluates nothing: Python's parser makes a tree, and only what is listed here is worked out, within bounds.

Knows arithmetic. Every number stays under `MOST_DIGITS` digits, and a power, the one operation whose result can be far longer
than what goes in, is measured before it is worked out.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from fcutils.messages import Message, ToolCall
from fcutils.toolbox import Approver, Toolbox
from fcutils.usecases.database import Database
from fcutils.usecases.values import Result

Number = int | float

MOST_CHARACTERS = 200
MOST_DEPTH = 40
MOST_DIGITS = 1_000
_SIGNS = re.compile(r"[0-9A-Za-z_.,()+*/%^ -]*")
_LIMIT = 10**MOST_DIGITS


class Calculation(Result):
    expression: str
    result: int | float


def calculate(expression: str) -> Calculation:
    """Calculate an arithmetic expression.

    Args:
        expression: The expression, such as (12.5 + 3) * 4 ** 2 or sqrt(2) / pi
    """
    tree = _parse(expression)
    try:
        return Calculation(expression=expression, result=_plain(_value(tree, 0)))
    except ZeroDivisionError:
        raise ValueError("this divides by zero") from None
    except OverflowError:
        raise ValueError("a number in this becomes too large") from None


def _parse(expression: str) -> ast.expr:
    if len(expression) > MOST_CHARACTERS:
        raise ValueError(f"the expression has {len(expression)} characters; at most {MOST_CHARACTERS} will do")
    if not _SIGNS.fullmatch(expression):
        odd = next(sign for sign in expression if not _SIGNS.fullmatch(sign))
        raise ValueError(f"{odd!a} is not understood: write * for times, / for divided by, ** for powers, sqrt(x) for roots")
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError("this is no arithmetic expression; write it like (12.5 + 3) * 4 ** 2") from None


def _value(node: ast.expr, depth: int) -> Number:
    """What a node of the tree comes to. What is not listed here is refused."""
    if depth > MOST_DEPTH:
        raise ValueError(f"the expression is nested more than {MOST_DEPTH} deep; split it")
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            number = _value(operand, depth + 1)
            return -number if isinstance(sign, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _bounded(_OPERATIONS[type(op)](_value(left, depth + 1), _value(right, depth + 1)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_call(name, [_value(argument, depth + 1) for argument in arguments]))
    raise ValueError(_refusal(node))


def _call(name: str, arguments: list[Number]) -> Number:
    try:
        return _FUNCTIONS[name](*arguments)
    except TypeError:
        raise ValueError(f"{name} does not take {len(arguments)} such numbers") from None
    except ValueError as error:
        raise ValueError(f"{name} of that is not defined ({error})") from None


def _bounded(number: Number | complex) -> Number:
    if isinstance(number, complex):
        raise ValueError("this is the root of a negative number, which is not real")
    if isinstance(number, int) and abs(number) >= _LIMIT:
        raise ValueError(f"a number in this has more than {MOST_DIGITS} digits")
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("a number in this becomes too large")
    return number


def _plain(number: Number) -> Number:
    """Without what only binary fractions bring in: 0.1 + 0.2 is 0.3, and 6 / 2 is 3."""
    if isinstance(number, int):
        return number
    number = float(f"{number:.15g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _power(base: Number, exponent: Number) -> Number:
    """A power, unless its lowest possible size is too much already: n bits to the power of k have at least (n - 1) * k bits."""
    if isinstance(base, int) and isinstance(exponent, int) and (base.bit_length() - 1) * exponent >= _LIMIT.bit_length():
        raise ValueError(f"this power has more than {MOST_DIGITS} digits")
    return base**exponent


def _round(number: Number, digits: int = 0) -> Number:
    if not -15 <= digits <= 15:  # round(1, -10**9) would work out 10 ** 10**9
        raise ValueError("round takes between -15 and 15 digits")
    return round(number, digits) if digits else round(number)


def _factorial(number: Number) -> int:
    if not isinstance(number, int) or not 0 <= number <= 400:
        raise ValueError("it takes a whole number from 0 to 400")
    return math.factorial(number)


def _refusal(node: ast.expr) -> str:
    match node:
        case ast.BinOp(op=ast.BitXor()):
            return "^ is not understood: write ** for a power"
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            return f"{name!r} is not known; there are {', '.join([*_CONSTANTS, *(f'{known}()' for known in _FUNCTIONS)])}"
    return f"only numbers, + - * / // % **, brackets and functions are understood, no {type(node).__name__}"


_CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
_OPERATIONS: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sqrt": math.sqrt,
    "abs": abs,
    "round": _round,
    "floor": math.floor,
    "ceil": math.ceil,
    "min": min,
    "max": max,
    "log": math.log,
    "log10": math.log10,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "factorial": _factorial,
}


def toolbox(db: Database | None = None, *, on_approve: Approver | None = None) -> Toolbox:
    """The calculator. It needs no database and writes nothing."""
    tools = Toolbox(on_approve=on_approve)
    tools.add(calculate)
    return tools


DIALOGUE = (
    Message("user", "How much is 17.5 % of 240?"),
    Message("assistant", calls=(ToolCall("calculate", {"expression": "240 * 17.5 / 100"}),)),
    Message("assistant", "17.5 % of 240 is 42."),
    Message("user", "And 2 to the power of 64?"),
    Message("assistant", calls=(ToolCall("calculate", {"expression": "2 ** 64"}),)),
    Message("assistant", "18446744073709551616."),
)
