"""Results that are worked out: they are right, and everything that the universe draws can be worked out."""

import pytest

from fcutils.universe import load
from fcutils.universe.worked import HOURS, MASSES, PER_EURO, WORKED, molar_mass, work_out


@pytest.mark.parametrize(
    ("tool", "arguments", "worked"),
    [
        ("triangle_area", {"a": 3, "b": 4, "c": 5}, {"area": 6}),
        ("point_distance", {"p": {"x": 0, "y": 0}, "q": {"x": 3, "y": -4}}, {"distance": 5}),
        ("point_distance", {"p": {"x": 0, "y": 0}, "q": {"x": 3, "y": -4}, "metric": "manhattan"}, {"distance": 7}),
        ("slope_angle", {"rise": 5, "run": 5}, {"slope": 45}),
        ("mean", {"numbers": [1, 2, 3, 4, 100], "trim_percent": 20}, {"mean": 3}),
        ("median", {"data": [9, 1, 5, 3]}, {"median": 4, "method": "midpoint of two"}),
        ("correlation", {"x": [1, 2, 3, 4], "y": [1, 8, 27, 64], "method": "spearman"}, {"coefficient": 1}),
        ("correlation", {"x": [1, 2, 3, 4], "y": [4, 3, 2, 1], "method": "kendall"}, {"coefficient": -1}),
        ("correlation", {"x": [2, 2, 2, 2], "y": [4, 3, 2, 1]}, {"coefficient": 0}),
        # R: t.test(c(1, 2, 3), c(2, 4, 6), var.equal = TRUE)
        ("t_test", {"group_a": [1, 2, 3], "group_b": [2, 4, 6]}, {"p_value": 0.196, "mean_a": 2, "mean_b": 4, "t": -1.55}),
        (
            "convert_time",
            {"clock_time": "21:00", "from_zone": "Europe/London", "to_zone": "Asia/Bangkok"},
            {"converted_time": "04:00"},
        ),
        ("convertOvenTemperature", {"fahrenheit": 350}, {"celsius": 177, "gas_mark": 4}),
        ("mortgagePayment", {"loan": 200000, "rate": 4.0, "years": 25}, {"monthly": 1055.67}),
        ("current_weather", {"city": "Oslo"}, {}),
    ],
)
def test_results_that_follow_from_the_arguments_are_right(tool, arguments, worked):
    assert work_out(tool, arguments) == worked


def test_a_molar_mass_counts_what_stands_in_brackets():
    assert molar_mass("H2O") == pytest.approx(18.015)
    assert molar_mass("Al2(SO4)3") == pytest.approx(2 * MASSES["Al"] + 3 * (MASSES["S"] + 4 * MASSES["O"]))


def test_every_worked_tool_and_every_value_that_it_may_get_is_known():
    universe = load()
    tools = {tool.name: tool for domain in universe.domains.values() for tool in domain.tools.values()}
    assert set(WORKED) <= set(tools)
    calendar, investing, chemistry = (universe.domains[name].lists for name in ("calendar", "investing", "chemistry"))
    assert {value for value, _ in calendar._for("timezone", "train")} == set(HOURS)
    assert {value for value, _ in investing._for("currency", "train")} == set(PER_EURO)
    formulas = [value for split in ("train", "validation", "test") for value, _ in chemistry._for("formula", split)]
    assert all(molar_mass(formula) > 1 for formula in formulas)
