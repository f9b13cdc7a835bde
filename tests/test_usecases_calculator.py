"""The calculator: right where it answers, quick where it refuses, and never more than arithmetic."""

import math
import operator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fcutils import usecases
from fcutils.messages import ToolCall
from fcutils.usecases.calculator import MOST_DIGITS, calculate


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("7 // 2 + 7 % 2", 4),
        ("6 / 2", 3),
        ("0.1 + 0.2", 0.3),
        ("1 / 3", 0.333333333333333),
        ("240 * 17.5 / 100", 42),
        ("sqrt(2) * sqrt(2)", 2),
        ("round(2.567, 2)", 2.57),
        ("round(1234, -2)", 1200),
        ("max(1, 2.5, abs(-7)) + min(3, 4)", 10),
        ("floor(2.7) + ceil(2.1)", 5),
        ("log(e ** 2) + log10(1000) + log(8, 2)", 8),
        ("sin(pi / 6) + cos(0) + tan(0)", 1.5),
        ("factorial(20)", 2432902008176640000),
        ("2 ** 100", 2**100),
        ("10 ** 999", 10**999),
        ("1_000 * 0x10", 16000),
        ("  1+1  ", 2),
        ("1 ** 99999999999999999999", 1),
        ("2 ** -1", 0.5),
        ("1e3", 1000),
        ("1e300 * 10", 1e301),
    ],
)
def test_it_calculates(expression, result):
    answer = calculate(expression).result
    assert answer == result
    assert type(answer) is type(result)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("9 ** 9 ** 9", "1000 digits"),
        ("10 ** 1000000000", "1000 digits"),
        ("10 ** 1000", "1000 digits"),
        ("(10 ** 900) * (10 ** 900)", "1000 digits"),
        ("2 ** (2 ** 3000)", "1000 digits"),
        ("(-3) ** 99999999999", "1000 digits"),
        ("round(1, -1000000000)", "between -15 and 15"),
        ("round(5, 1e300)", "between -15 and 15"),
        ("factorial(1000000000)", "0 to 400"),
        ("factorial(2.5)", "0 to 400"),
        ("factorial(400) ** 400", "1000 digits"),
        ("2.0 ** 100000", "too large"),
        ("1e308 * 10", "too large"),
        ("1e999", "too large"),
        ("10 ** 500 / 3.5", "too large"),
        ("exp(10000)", "too large"),
        ("sqrt(10 ** 999)", "too large"),
        ("1 / 0", "divides by zero"),
        ("0 ** -1", "divides by zero"),
        ("5 % 0", "divides by zero"),
        ("(-8) ** 0.5", "not real"),
        ("sqrt(-1)", "not defined"),
        ("log(0)", "not defined"),
        ("-" * 100 + "1", "nested"),
        ("(" * 90 + "1" + ")" * 90, None),
        ("(" * 100 + "1", "no arithmetic"),
        ("1+" * 90 + "1", "nested"),
        ("1" * 201, "201 characters"),
        ("2 ^ 10", r"write \*\* for a power"),
        ("15% of 80", "no arithmetic"),
        ("3 × 4", r"'\\xd7' is not understood"),
        ("２ + ２", "is not understood"),
        ("ｓｑｒｔ(4)", "is not understood"),
        ("5 − 3", r"'\\u2212' is not understood"),
        ("1\x00", "is not understood"),
        ("1\n2", "is not understood"),
        ("", "no arithmetic"),
        ("   ", "no arithmetic"),
        ("x + 1", "'x' is not known"),
        ("__import__('os')", "is not understood"),
        ("__import__(1)", "'__import__' is not known"),
        ("eval(1)", "'eval' is not known"),
        ("(1).__class__", "Attribute"),
        ("abs.__call__(1)", "are understood"),
        ("sqrt", "'sqrt' is not known"),
        ("pi(2)", "'pi' is not known"),
        ("sqrt(x=4)", "'=' is not understood"),
        ("max(*2)", "are understood"),
        ("min()", "min does not take 0"),
        ("min(1)", "min does not take 1"),
        ("sqrt(1, 2)", "sqrt does not take 2"),
        ("round(2.5, 1.5)", "round does not take 2"),
        ("True + 1", "are understood"),
        ("None", "are understood"),
        ("5j", "are understood"),
        ("1, 2", "Tuple"),
        ("1 if 2 else 3", "IfExp"),
        ("1 and 2", "BoolOp"),
        ("lambda_ + 1", "'lambda_' is not known"),
        ("lambda: 1", "is not understood"),
        ("1 << 99999", "is not understood"),
        ("[1] * 999999999", "is not understood"),
        ('"a" * 999999999', "is not understood"),
    ],
)
def test_it_refuses(expression, words):
    if words is None:
        assert calculate(expression).result == 1
        return
    with pytest.raises(ValueError, match=words):
        calculate(expression)


SIGNS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


@st.composite
def sums(draw, depth=3):
    """An expression, and what it comes to: None where it divides by zero."""
    if depth == 0 or draw(st.booleans()):
        number = draw(st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3)))
        return str(number), number
    (left, a), (right, b), sign = draw(sums(depth - 1)), draw(sums(depth - 1)), draw(st.sampled_from(sorted(SIGNS)))
    text = f"({left} {sign} {right})"
    try:
        return text, None if a is None or b is None else SIGNS[sign](a, b)
    except ZeroDivisionError:
        return text, None


@given(sums())
def test_it_agrees_with_python(drawn):
    expression, wanted = drawn
    if wanted is None:
        with pytest.raises(ValueError, match="zero"):
            calculate(expression)
    else:
        assert math.isclose(calculate(expression).result, wanted, rel_tol=1e-13, abs_tol=1e-300)


PIECES = [
    "9",
    "**",
    "9",
    "(",
    ")",
    "-",
    "round(",
    "factorial(",
    ",",
    "1e308",
    "*",
    "//",
    "0",
    ".",
    "%",
    "10",
    "log(",
    "exp(",
    " ",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=60))
@example("9**9**9**9**9")
@example("round(9,-9**9)")
@example("factorial(9)**9**9")
@example("((((9**300)**3)**3)**3)")
def test_whatever_is_written_it_answers_at_once_with_a_number_or_a_reason(expression):
    try:
        result = calculate(expression).result
    except ValueError as error:
        assert str(error)
    else:
        assert abs(result) < 10**MOST_DIGITS


def test_a_long_result_comes_whole_through_the_toolbox():
    box = usecases.load("calculator")
    observation = box.call(ToolCall("calculate", {"expression": "10 ** 999 - 1"}))
    assert observation.content["result"] == 10**999 - 1
    assert not observation.truncated
    assert "9" * 999 in observation.text


@pytest.mark.parametrize("expression", [5, None, True, ["1"], {"a": 1}])
def test_an_expression_is_text(expression):
    assert usecases.load("calculator").call(ToolCall("calculate", {"expression": expression})).kind == "invalid_arguments"
