"""A check of an exercise: solved or not, it prints one line and raises nothing."""

from fcutils.exercise import exercise


def test_what_it_says(capsys):
    @exercise
    def right() -> None:
        assert 1 + 1 == 2, "arithmetic is broken"

    @exercise
    def wrong() -> None:
        raise AssertionError("answer is still None: put your call there")

    @exercise
    def breaks() -> None:
        _ = {}["answer"]

    assert (right, wrong, breaks) == (True, False, False)
    assert capsys.readouterr().out.splitlines() == [
        "Solved.",
        "Not yet: answer is still None: put your call there",
        "Not yet: the check stopped with KeyError: 'answer'",
    ]
