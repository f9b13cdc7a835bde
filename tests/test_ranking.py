"""Ranking: the right text first, nothing where nothing fits, and linear in what it is given."""

from hypothesis import given
from hypothesis import strategies as st

from fcutils.ranking import fold, pieces, rank, words

TEXTS = [
    "How tides work: the Moon pulls on the oceans",
    "The Moon is far",
    "Baking bread",
    "Bread and butter, bread and jam",
    "",
]


def places(query: str) -> list[int]:
    return [place for place, _ in rank(query, TEXTS)]


def test_more_and_rarer_words_win():
    assert places("moon tides") == [0, 1]
    assert rank("rare common", ["common word", "rare word", "common thing"])[0][0] == 1


def test_a_short_text_beats_a_long_one_with_the_same_word():
    assert places("moon") == [1, 0]


def test_repeating_helps_a_little():
    assert places("bread") in ([2, 3], [3, 2])
    scores = dict(rank("bread", TEXTS))
    assert scores[3] < 2 * scores[2]


def test_case_accents_and_plurals_do_not_matter():
    assert places("TÍDE") == places("tides") == [0]
    assert words("Batteries, classes, a bus and glass") == ("battery", "classe", "bus", "glass")


def test_names_are_words_that_are_joined():
    assert words("setSpeed") == ("setspeed", "set", "speed")
    assert words("rooms.find_free-room") == ("room", "find", "free", "room")
    assert words("iPhone HTTP x2y") == ("iphone", "phone", "http", "x2y")
    assert [place for place, _ in rank("speed", ["playback.setSpeed", "sped"])] == [0]


def test_pieces_find_what_is_bent_differently():
    texts = ["translate a page", "a train"]
    assert rank("translation", texts) == []
    assert rank("translation", texts, pieces)[0][0] == 0
    assert pieces("bus") == ("^bus$", "^bus", "bus$")


def test_words_that_say_nothing_find_nothing():
    assert places("what is the") == places("") == places("?!") == places("zebra") == []


def test_equal_texts_stay_in_order():
    assert [place for place, _ in rank("x", ["x", "x", "x"])] == [0, 1, 2]
    assert rank("x", []) == []


def test_a_look_alike_is_another_letter():
    assert fold(" São Paulo") == "sao paulo"
    assert fold("Раris") != fold("Paris") and fold("Ｐaris") != fold("Paris")


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=6))
def test_scores_fall_and_every_text_found_shares_a_word(query, texts):
    found = rank(query, texts)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    for place, score in found:
        assert score > 0
        assert set(words(query)) & set(words(texts[place]))
    assert len(found) == sum(bool(set(words(query)) & set(words(text))) for text in texts)
