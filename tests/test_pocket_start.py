"""A model from nothing that already copies, and attention in blocks that is attention."""

from random import Random

import pytest
import torch

from fcutils.pocket import attention, corpus
from fcutils.pocket.models import build
from fcutils.pocket.train import Plan, optimisers


def copied(model, count=4, length=256):
    """The share of tokens that a model copies right in texts of random words said twice."""
    rng, right = Random(1), []
    for _ in range(count):
        example = corpus.copying(2000, length, rng)
        best = model(input_ids=torch.tensor([example.ids])).logits[0].argmax(-1).tolist()
        right += [best[i - 1] == example.ids[i] for i, weight in enumerate(example.weights) if weight]
    return sum(right) / len(right)


@pytest.mark.parametrize("name", ["pocket-hermes", "pocket-gemma"])
def test_a_fresh_model_copies_and_one_without_the_circuit_does_not(name):
    torch.manual_seed(0)
    model = build(name, 2000).eval()
    with torch.no_grad():
        assert copied(model) > 0.85
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        assert copied(model) < 0.1


def test_a_first_step_moves_the_words_of_both_families_alike():
    moved = []
    for name in ("pocket-hermes", "pocket-gemma"):
        torch.manual_seed(0)
        model = build(name, 500)
        words = model.get_input_embeddings().weight
        before = words.detach().clone()
        model(torch.randint(0, 500, (2, 40)), labels=torch.randint(0, 500, (2, 40))).loss.backward()
        for optimiser in optimisers(model, Plan(name, 1)):
            optimiser.step()
        moved.append(float((words.detach() - before).norm() / before.norm()))
    assert 0.5 < moved[0] / moved[1] < 2


@pytest.mark.parametrize("name", ["pocket-hermes", "pocket-gemma"])
@pytest.mark.parametrize("length", [100, 300])
def test_attention_in_blocks_is_attention_with_the_same_gradients(name, length):
    torch.manual_seed(0)
    model = build(name, 500, layers=2)
    for layer in model.model.layers:
        if getattr(layer.self_attn, "sliding_window", None):
            layer.self_attn.sliding_window = 40
    if name == "pocket-gemma":
        model.config.sliding_window = 40
    for parameter in model.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    ids = torch.randint(0, 500, (2, length))

    def gradients():
        model.zero_grad()
        out = model(ids, labels=ids, use_cache=False)
        out.loss.backward()
        return out.logits.detach(), [parameter.grad.clone() for parameter in model.parameters()]

    logits, wanted = gradients()
    attention.use(model)
    again, found = gradients()
    torch.testing.assert_close(again, logits, atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4 * float(theirs.abs().max() + 1e-3), rtol=1e-3)


def test_attention_in_blocks_trains_in_half_precision():
    torch.manual_seed(0)
    model = build("pocket-hermes", 500, layers=2)
    attention.use(model)
    ids = torch.randint(0, 500, (2, 200))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(ids, labels=ids, use_cache=False).loss
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
