"""The weights that are shipped write what is kept beside them, to the letter."""

import json

import pytest
from safetensors.torch import load_file, save_file

from fcutils.models import HOME, NOTES
from fcutils.pocket.measures import open_model
from fcutils.pocket.sample import COUNT, MARGIN, dialect_of, prompt, reply

SHIPPED = sorted(path.parent.name for path in HOME.glob("*/replies.json"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_weights_write_the_kept_replies(name):
    rows = json.loads((HOME / name / "replies.json").read_text(encoding="utf-8"))
    assert len(rows) == COUNT and len({row["set"] for row in rows}) > 3
    engine = open_model(HOME / name, dialect_of(name))
    for row in rows:
        text, margin = reply(engine, prompt(row["set"], row["row"]))
        assert text == row["reply"] and margin > MARGIN / 2


def test_every_shipped_model_has_its_replies():
    assert sorted(path.parent.name for path in HOME.glob("*/SHA256SUMS")) == SHIPPED


def test_other_weights_write_something_else(tmp_path):
    for path in (HOME / SHIPPED[0]).iterdir():
        if path.name not in NOTES:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.layers.0.self_attn.o_proj.weight"] *= 0
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    rows = json.loads((HOME / SHIPPED[0] / "replies.json").read_text(encoding="utf-8"))
    engine = open_model(tmp_path, dialect_of(SHIPPED[0]))
    assert any(reply(engine, prompt(row["set"], row["row"]))[0] != row["reply"] for row in rows[:5])
