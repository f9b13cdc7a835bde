"""The figures of data/QUALITY.md: counted rightly, written between the markers alone, and the stated rates are kept."""

import pytest

from fcutils.dataset import DATA, read_rows
from fcutils.universe import episodes, load, values
from fcutils.universe.course import FILES
from fcutils.universe.quality import BEGIN, END, FILE, figures, measured, ngrams, write_figures


def test_runs_of_words_do_not_cross_texts():
    found = ngrams(["Book a flight, please.", "book a table"], 2)
    assert found == {("book", "a"): 2, ("a", "flight"): 1, ("flight", "please"): 1, ("a", "table"): 1}
    assert ngrams(["one"], 2).total() == 0


def test_the_stated_rates_are_the_real_ones():
    tally = measured(load())
    stated = {"typo": episodes.TYPO_RATE, "lower": episodes.LOWER_RATE, "bare": episodes.BARE_RATE}
    stated |= {"word": values.WORD_RATE, "comma": values.COMMA_RATE}
    for name, rate in stated.items():
        assert tally.chances[name] > 100, name
        assert 0.7 * rate < tally.share(name) < 1.3 * rate, name


def test_figures_are_written_between_the_markers_and_nothing_else_changes(tmp_path):
    path = tmp_path / "QUALITY.md"
    path.write_text(f"by hand\n{BEGIN}\nold\n{END}\nnotes\n", encoding="utf-8")
    write_figures(load(), path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"by hand\n{BEGIN}\n") and text.endswith(f"{END}\nnotes\n") and "old" not in text.split("\n")
    assert "| train.jsonl | 4000 |" in text
    path.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match=r"QUALITY\.md: needs the lines"):
        write_figures(load(), path)


def test_the_figures_on_file_are_those_of_the_rows_on_file():
    rows = {wanted.file: read_rows(DATA / wanted.file, check=False) for wanted in FILES}
    assert figures(load(), rows) in FILE.read_text(encoding="utf-8"), "run: python -m fcutils.universe quality"
