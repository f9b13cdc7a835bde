"""Results that can be worked out from the arguments: areas, means, money in another currency, a clock in another zone.

A drawn number would be a false one, and whoever reads the rows sees that 21:00 in London is not 08:00 in Bangkok. Knows
the arithmetic of each such tool, by the tool's own name; everything else in a result is drawn (`episodes.py`).
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

Arguments = Mapping[str, Any]

# units of each currency for one euro, rounded: the same in every row, so that no two rows contradict each other
PER_EURO = {
    **{"USD": 1.08, "EUR": 1.0, "GBP": 0.85, "JPY": 162, "CHF": 0.95, "CAD": 1.48, "AUD": 1.65, "SEK": 11.4, "NOK": 11.6},
    **{"DKK": 7.46, "PLN": 4.3, "CZK": 25.1, "HUF": 395, "INR": 91, "CNY": 7.8, "KRW": 1480, "BRL": 5.9, "MXN": 19.6},
    **{"ZAR": 19.8, "TRY": 37, "NZD": 1.81, "SGD": 1.44, "THB": 37, "ILS": 4.0, "KES": 140, "VND": 27000, "ISK": 150},
    **{"MAD": 10.7, "PHP": 62, "IDR": 17200},
}
# zones by their hours ahead of Greenwich, in standard time (no day is asked for, so there is no summer time)
ZONES = {
    -8: ("America/Los_Angeles", "America/Vancouver"),
    -7: ("America/Denver",),
    -6: ("America/Chicago", "America/Mexico_City"),
    -5: ("America/New_York", "America/Toronto", "America/Bogota", "America/Lima"),
    -3: ("America/Sao_Paulo", "America/Argentina/Buenos_Aires"),
    0: ("Europe/London", "Europe/Lisbon", "Atlantic/Reykjavik"),
    1: ("Europe/Paris", "Europe/Berlin", "Africa/Lagos"),
    2: ("Europe/Athens", "Europe/Helsinki", "Europe/Kyiv", "Africa/Cairo", "Africa/Johannesburg"),
    3: ("Europe/Istanbul", "Africa/Nairobi"),
    4: ("Asia/Dubai",),
    5: ("Asia/Karachi",),
    6: ("Asia/Dhaka",),
    7: ("Asia/Bangkok", "Asia/Jakarta"),
    8: ("Asia/Singapore", "Asia/Shanghai", "Asia/Manila", "Australia/Perth"),
    9: ("Asia/Seoul", "Asia/Tokyo"),
    10: ("Australia/Sydney",),
    12: ("Pacific/Auckland",),
}
HOURS = {zone: hours for hours, zones in ZONES.items() for zone in zones}
MASSES = {
    **{"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "P": 30.974, "S": 32.06},
    **{"Cl": 35.45, "K": 39.098, "Ca": 40.078, "Cr": 51.996, "Mn": 54.938, "Fe": 55.845, "Co": 58.933, "Ni": 58.693},
    **{"Cu": 63.546, "Zn": 65.38, "Sr": 87.62, "Ag": 107.868, "I": 126.904, "Ba": 137.327, "Pb": 207.2},
}
GAS_MARKS = ((286, 1), (312, 2), (337, 3), (362, 4), (387, 5), (412, 6))  # below so many degrees Fahrenheit


def work_out(tool: str, arguments: Arguments) -> dict[str, Any]:
    """The fields of this tool's result that follow from its arguments; {} for most tools."""
    return WORKED[tool](arguments) if tool in WORKED else {}


def _neat(number: float, places: int = 2) -> float:
    number = round(number, places)
    return int(number) if float(number).is_integer() else number


def _triangle(a: float, b: float, c: float) -> float:
    half = (a + b + c) / 2
    return math.sqrt(half * (half - a) * (half - b) * (half - c))


def _distance(given: Arguments) -> float:
    across, up = (abs(given["p"][axis] - given["q"][axis]) for axis in "xy")
    return across + up if given.get("metric") == "manhattan" else math.hypot(across, up)


def _slope(given: Arguments) -> float:
    ratio = given["rise"] / given["run"]
    return 100 * ratio if given.get("as_percent") else math.degrees(math.atan(ratio))


def _mean(given: Arguments) -> float:
    numbers = sorted(given["numbers"])
    cut = len(numbers) * given.get("trim_percent", 0) // 100
    return statistics.fmean(numbers[cut : len(numbers) - cut])


def _spread(given: Arguments) -> dict[str, Any]:
    whole, places = bool(given.get("population")), given.get("round_to", 2)
    deviation = (statistics.pstdev if whole else statistics.stdev)(given["values"])
    return {"std_dev": _neat(deviation, places), "variance": _neat(deviation**2), "divisor": "n" if whole else "n-1"}


def _correlation(given: Arguments) -> float:
    x, y = given["x"], given["y"]
    if given.get("method") == "kendall":
        pairs = list(combinations(zip(x, y, strict=True), 2))
        return sum(math.copysign(1, (a - c) * (b - d)) if (a - c) * (b - d) else 0 for (a, b), (c, d) in pairs) / len(pairs)
    if len(set(x)) == 1 or len(set(y)) == 1:
        return 0  # nothing varies, so nothing varies together
    if given.get("method") == "spearman":
        x, y = _ranks(x), _ranks(y)
    return statistics.correlation(x, y)


def _ranks(numbers: Sequence[float]) -> list[float]:
    """Places in order; equal numbers share the mean of theirs."""
    return [sum(other < number for other in numbers) + (numbers.count(number) + 1) / 2 for number in numbers]


def _t_test(given: Arguments) -> dict[str, Any]:
    one, other = given["group_a"], given["group_b"]
    means = statistics.fmean(one), statistics.fmean(other)
    variances, sizes = (statistics.variance(one), statistics.variance(other)), (len(one), len(other))
    shares = [variance / size for variance, size in zip(variances, sizes, strict=True)]
    freedom = sum(sizes) - 2
    if given.get("equal_variances") is False:
        freedom = sum(shares) ** 2 / sum(share**2 / (size - 1) for share, size in zip(shares, sizes, strict=True))
    else:
        pooled = sum(variance * (size - 1) for variance, size in zip(variances, sizes, strict=True)) / freedom
        shares = [pooled / size for size in sizes]
    t = (means[0] - means[1]) / (math.sqrt(sum(shares)) or 1)
    return {"p_value": _neat(_two_sided(t, freedom), 3), "mean_a": _neat(means[0]), "mean_b": _neat(means[1]), "t": _neat(t)}


def _two_sided(t: float, freedom: float, steps: int = 400) -> float:
    """The probability of a t at least so far from 0, by Simpson's rule over Student's density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    width = abs(t) / steps
    heights = [(1 + (i * width) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
    inside = heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])
    return max(0.0, 1 - 2 * scale * inside * width / 3)


def _margin(given: Arguments) -> float:
    sample = given["sample"]
    z = statistics.NormalDist().inv_cdf(0.5 + given.get("level", 95) / 200)
    return z * sample["std_dev"] / math.sqrt(sample["size"])


def molar_mass(formula: str) -> float:
    """Of a formula such as Ca(NO3)2."""
    sums: list[float] = [0]
    for element, opened, closed, count in re.findall(r"(?:([A-Z][a-z]?)|(\()|(\)))(\d*)", formula):
        if opened:
            sums.append(0)
        else:
            mass = sums.pop() if closed else MASSES[element]
            sums[-1] += mass * int(count or 1)
    return sums[0]


def _clock(given: Arguments) -> str:
    hour, minute = map(int, given["clock_time"].split(":"))
    return f"{(hour + HOURS[given['to_zone']] - HOURS[given['from_zone']]) % 24:02}:{minute:02}"


def _rate(base: str, target: str) -> float:
    rate = PER_EURO[target] / PER_EURO[base]
    return float(f"{rate:.4g}")


def _monthly(given: Arguments) -> float:
    rate, months = given["rate"] / 1200, 12 * given["years"]
    return given["loan"] * rate / (1 - (1 + rate) ** -months)


def _one(field: str, worked: Callable[[Arguments], float]) -> Callable[[Arguments], dict[str, Any]]:
    return lambda given: {field: _neat(worked(given))}


def _gas_mark(fahrenheit: int) -> int:
    return next((mark for below, mark in GAS_MARKS if fahrenheit < below), 7)


def _bags(given: Arguments) -> int:
    return math.ceil(given["length_m"] * given["width_m"] * given["depth_cm"] * 10 / 50)


WORKED: dict[str, Callable[[Arguments], dict[str, Any]]] = {
    "circle_area": _one("area", lambda given: math.pi * given["radius"] ** 2),
    "circle_circumference": lambda given: {"circumference": _neat(math.pi * given["diameter"], given.get("digits", 2))},
    "rectangle_area": _one("area", lambda given: given["width"] * given["length"]),
    "triangle_area": _one("area", lambda given: _triangle(given["a"], given["b"], given["c"])),
    "polygon_perimeter": _one("perimeter", lambda given: math.fsum(given["sides"])),
    "polygon_angle": lambda given: {"interior_angle": _neat(180 - 360 / given["sides"], given.get("decimals", 2))},
    "cylinder_volume": _one("volume", lambda given: math.pi * given["r"] ** 2 * given["h"]),
    "sphere_volume": _one("volume", lambda given: (2 if given.get("hemisphere") else 4) / 3 * math.pi * given["radius"] ** 3),
    "prism_volume": _one("volume", lambda given: given["base_area"] * given["height"]),
    "point_distance": _one("distance", _distance),
    "slope_angle": _one("slope", _slope),
    "mean": _one("mean", _mean),
    "median": lambda given: {
        "median": _neat(statistics.median(given["data"])),
        "method": "exact" if len(given["data"]) % 2 else "midpoint of two",
    },
    "standard_deviation": _spread,
    "correlation": _one("coefficient", _correlation),
    "t_test": _t_test,
    "confidence_interval": _one("margin", _margin),
    "bar_chart": lambda given: {"bars": len(given["heights"])},
    "molarMass": lambda given: {"molar_mass": _neat(molar_mass(given["formula"]), given.get("decimals", 2))},
    "diluteStock": _one(
        "take_stock_ml", lambda given: given["finalVolumeMl"] * given["targetMolarity"] / given["stockMolarity"]
    ),
    "convert_time": lambda given: {"converted_time": _clock(given)},
    "exchange_rate": lambda given: {"rate": _rate(given["base"], given["target"])},
    "convert_currency": _one("converted", lambda given: given["amount"] * _rate(given["source"], given["into"])),
    "convertOvenTemperature": lambda given: {
        "celsius": round((given["fahrenheit"] - 32) / 1.8),
        "gas_mark": _gas_mark(given["fahrenheit"]),
    },
    "mulch_volume": lambda given: {"bags_of_50_l": _bags(given)},
    "mortgagePayment": _one("monthly", _monthly),
}
