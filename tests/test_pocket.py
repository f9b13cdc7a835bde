"""The makers of the pocket models: the tokenizer loses nothing, the loss is the loss, depth can grow, training resumes."""

import json
from itertools import islice
from random import Random

import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from fcutils.dialects import encode, get
from fcutils.pocket import corpus, formats
from fcutils.pocket.batches import batches, collate
from fcutils.pocket.head import head_loss
from fcutils.pocket.models import build, deepen
from fcutils.pocket.tokenizer import GLUE, WORD, save_tokenizer, train_tokenizer
from fcutils.pocket.train import Plan, train
from fcutils.pocket.validate import rows, turns
from fcutils.universe import Recipe, conversations, corner, load


@pytest.fixture(scope="module")
def where():
    return corner(load(), "train")


@pytest.fixture(scope="module")
def tokenizer(where, tmp_path_factory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    texts = ["".join(p.text for p in get("hermes").render(talk)) for talk in islice(conversations(where, 1), 150)]
    save_tokenizer(train_tokenizer(texts, 1500), folder, family="chatml")
    return AutoTokenizer.from_pretrained(folder)


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_characters=WORD + GLUE, exclude_categories=["Cs"])))
def test_text_goes_through_the_tokenizer_unharmed(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, split_special_tokens=True)["input_ids"]) == text


def test_a_word_is_the_same_token_in_a_sentence_in_quotes_and_in_a_name(tokenizer):
    def pieces(text, word):
        ids = tokenizer(text)["input_ids"]
        wanted = tokenizer(" " + word)["input_ids"]
        return any(ids[i : i + len(wanted)] == wanted for i in range(len(ids)))

    for text in (
        "from Wennberg to",
        '{"name": "Wennberg"}',
        "(Wennberg)",
        "\nWennberg",
        "Wennberg",
        "x_Wennberg",
        "theWennberg",
    ):
        assert pieces(text, "Wennberg"), text


def test_the_prompt_is_a_prefix_of_what_was_trained(tokenizer, where):
    """What stands before the model's words is the same ids whether or not the words follow."""
    for talk in islice(conversations(where, 4), 20):
        for dialect in (get("hermes"), get("openhermes"), formats.shown(Random(1)), formats.HELD_OUT):
            end = next(i for i, m in enumerate(talk.messages) if m.role == "assistant")
            asked = type(talk)(talk.messages[:end], talk.tools)
            prompt = encode(dialect.render(asked, generate=True), tokenizer).ids
            assert encode(dialect.render(talk), tokenizer).ids[: len(prompt)] == prompt


@pytest.mark.parametrize("count", [5, 700])
def test_the_sliced_head_is_cross_entropy(count):
    torch.manual_seed(0)
    hidden, matrix = (torch.randn(n, 32, dtype=torch.float64, requires_grad=True) for n in (count, 500))
    targets, weights = torch.randint(0, 500, (count,)), torch.rand(count, dtype=torch.float64)
    ours = torch.autograd.grad(head_loss(hidden, matrix, targets, weights, bf16=False), (hidden, matrix))
    plain = (functional.cross_entropy(hidden @ matrix.T, targets, reduction="none") * weights).sum() / weights.sum()
    for mine, theirs in zip(ours, torch.autograd.grad(plain, (hidden, matrix)), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["pocket-hermes", "pocket-gemma"])
def test_a_deeper_model_says_the_same(name):
    torch.manual_seed(0)
    model = build(name, 400, layers=2).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    ids = torch.randint(0, 400, (2, 30))
    with torch.no_grad():
        torch.testing.assert_close(deepen(model, 4).eval()(ids).logits, model(ids).logits)


def test_weights_fall_on_what_the_model_says_and_most_on_values(tokenizer, where):
    talk = next(
        t for t in conversations(where, 2, Recipe(mix={"single": 1.0}, requests=(1, 1))) if t.messages[-3].calls[0].arguments
    )
    encoded = encode(get("hermes").render(talk), tokenizer)
    example = corpus.weigh(encoded, Random(0))
    by_part = {
        part: {w for w, p, learn in zip(example.weights, encoded.parts, encoded.learn, strict=True) if learn and p == part}
        for part in corpus.WEIGHTS
    }
    assert by_part == {part: {weight, weight * corpus.DECIDED} for part, weight in corpus.WEIGHTS.items()}
    learnt = tokenizer.decode([i for i, learn in zip(encoded.ids, encoded.learn, strict=True) if learn])
    assert "<tool_call>" in learnt and "<tools>" not in learnt and "<tool_response>" not in learnt


def test_a_refused_call_has_no_weight_and_the_mended_one_all_of_it(tokenizer, where):
    for talk in islice(conversations(where, 2, Recipe(mix={"mending": 0.5, "single": 0.5}, requests=(2, 3))), 30):
        encoded = encode(get("hermes").render(talk), tokenizer)
        refused, spans = corpus.refused_replies(talk), list(corpus.reply_spans(encoded))
        assert len(spans) == sum(message.role == "assistant" for message in talk.messages)
        assert len(refused) == talk.meta["kinds"].count("mending")
        weights = corpus.written(talk, get("hermes"), tokenizer, Random(0)).weights
        for number, (start, end) in enumerate(spans):
            assert (not any(weights[start:end])) if number in refused else all(weights[start:end])
        assert len(turns(encoded, "mending", refused)) == len(spans) - len(refused)


def test_batches_hold_every_example_whole(tokenizer, where):
    found = corpus.examples(where, tokenizer, 1, Recipe(requests=(1, 2), tools=(1, 3)))
    for batch in islice(batches(found, 4096, Random(0)), 3):
        assert batch.ids.numel() <= 4096 and len(batch.rows) == len(batch.targets) == len(batch.weights)
        assert (batch.ids[batch.rows, batch.columns + 1] == batch.targets).all()
    one = collate([corpus.copying(1500, 64, Random(0))])
    assert set(one.targets.tolist()) <= set(one.ids[0, :40].tolist())


def test_a_run_learns_and_goes_on_after_it_was_ended(tokenizer, where, tmp_path):
    """The clock rules a run, so that a busy machine takes few steps: what is compared is the loss on the same texts."""
    (ids, _), *_ = rows(corner(load(), "validation"), tokenizer, 1)
    losses = []

    def look(model):
        with torch.no_grad():
            losses.append(float(model(torch.tensor([ids]), labels=torch.tensor([ids]), use_cache=False).loss))
        return {"loss": losses[-1]}

    def plan(minutes):
        small = {"muon": 2e-3, "adam": 1e-3}  # a step or two, which is all that a busy machine may take, does no harm
        return Plan("pocket-hermes", minutes, budget=1024, layers=2, save_every=0.02, **small)

    def last_line():
        return json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])

    look(build("pocket-hermes", len(tokenizer), layers=2).eval())
    train(where, tokenizer, plan(0.07), look, folder=tmp_path)
    first = last_line()
    look(train(where, tokenizer, plan(0.07), look, folder=tmp_path).eval())  # its time is up: nothing but what was kept
    train(where, tokenizer, plan(first["seconds"] / 60 + 0.07), look, folder=tmp_path)
    assert last_line()["step"] > first["step"] > 0 and last_line()["seconds"] > first["seconds"]
    assert losses[2] == losses[1] and losses[0] > max(losses[1], losses[3])
