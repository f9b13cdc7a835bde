"""The course's dataset: made again, it is the same to the byte; and the test sets are frozen."""

import hashlib

import pytest

from fcutils.dataset import DATA, read_rows
from fcutils.universe import load
from fcutils.universe.course import FILES, write

FROZEN = {
    "test_missing_information.jsonl": "ce31adc2ffccce82",
    "test_nothing_to_call.jsonl": "b2769816fe646ffb",
    "test_parallel.jsonl": "716aa931cf58f0db",
    "test_sequences.jsonl": "4ba5f7c0df42b242",
    "test_unseen_domains.jsonl": "0af89cc6d9319608",
    "test_unseen_phrasings.jsonl": "09fd587fab2f4b6d",
    "test_unseen_tools.jsonl": "1813b80067f6326a",
}


def test_made_again_it_is_the_same_to_the_byte(tmp_path):
    assert write(load(), tmp_path) == {wanted.file: wanted.rows for wanted in FILES}
    for wanted in FILES:
        assert (tmp_path / wanted.file).read_bytes() == (DATA / wanted.file).read_bytes(), wanted.file


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_a_test_set_is_what_it_was(name):
    """A model's scores mean nothing once these have changed: new rows want a new name."""
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest()[:16] == FROZEN[name]


@pytest.mark.parametrize("wanted", FILES, ids=lambda wanted: wanted.file)
def test_every_row_is_sound(wanted):
    assert read_rows(DATA / wanted.file)
