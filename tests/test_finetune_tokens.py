"""New tokens: only those that lack, their rows from their pieces, only their rows trained."""

from __future__ import annotations

import pytest
import torch
from finetune_samples import ROWS, base

from fcutils.dialects import encode, get
from fcutils.dialects.gemma import Gemma
from fcutils.finetune import add_tokens, lacking, pieces
from fcutils.finetune.adapter import in_adapter, size, wrap
from fcutils.finetune.recipe import Recipe
from fcutils.finetune.tokens import new_rows

ADDED = list(Gemma.added)


def test_only_what_lacks_is_added_and_begins_as_the_mean_of_its_pieces() -> None:
    loaded = base("gemma2")
    before = loaded.model.get_input_embeddings().weight.detach().clone()
    assert lacking(loaded.tokenizer, "gemma") == ADDED
    spelt = {token: pieces(token, loaded.tokenizer) for token in ADDED}
    new = add_tokens(loaded.model, loaded.tokenizer, "gemma")
    assert list(new) == ADDED
    assert sorted(new.values()) == list(range(len(before), len(before) + 6))
    after = loaded.model.get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before), "no old row changes"
    for token, id_ in new.items():
        assert len(spelt[token]) > 1
        assert torch.allclose(after[id_], before[spelt[token]].mean(0))
        assert pieces(token, loaded.tokenizer) == spelt[token], "its text is still only text"
    assert loaded.model.get_output_embeddings().weight is after, "still tied"
    assert loaded.model.config.vocab_size == len(after)


def test_nothing_is_added_twice() -> None:
    loaded = base("gemma2")
    new = add_tokens(loaded.model, loaded.tokenizer, "gemma")
    rows = loaded.model.get_input_embeddings().weight.detach().clone()
    assert add_tokens(loaded.model, loaded.tokenizer, "gemma") == new, "they are new until they are trained"
    assert torch.equal(loaded.model.get_input_embeddings().weight, rows)
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[new["<think>"]] += 0.01
    assert "<think>" not in new_rows(loaded.model, loaded.tokenizer, "gemma"), "this one was trained"


def test_a_tokenizer_that_has_everything_stays_as_it_is() -> None:
    loaded = base("llama")
    words, shape = len(loaded.tokenizer), loaded.model.get_input_embeddings().weight.shape
    assert add_tokens(loaded.model, loaded.tokenizer, "hermes") == {}
    assert (len(loaded.tokenizer), loaded.model.get_input_embeddings().weight.shape) == (words, shape)


def test_an_untied_head_gets_rows_of_its_own() -> None:
    loaded = base("llama")
    inner, outer = (matrix.weight.detach().clone() for matrix in (loaded.model.model.embed_tokens, loaded.model.lm_head))
    new = add_tokens(loaded.model, loaded.tokenizer, "gemma")
    id_, spelt = new["<think>"], pieces("<think>", loaded.tokenizer)
    assert torch.allclose(loaded.model.model.embed_tokens.weight[id_], inner[spelt].mean(0))
    assert torch.allclose(loaded.model.lm_head.weight[id_], outer[spelt].mean(0))
    assert not torch.allclose(loaded.model.lm_head.weight[id_], inner[spelt].mean(0))


def test_what_the_model_says_stays_visible_and_turns_do_not() -> None:
    loaded = base("llama")
    add_tokens(loaded.model, loaded.tokenizer, "gemma")
    ids = encode(get("gemma").render(ROWS[0]), loaded.tokenizer).ids
    shown = loaded.tokenizer.decode(ids, skip_special_tokens=True)
    assert "<tool_call>" in shown and "<think>" in shown
    assert "<start_of_turn>" not in shown


def test_a_misspelt_token_is_added_and_never_used() -> None:
    """The published fault: `<tool_reponse>` in the tokenizer, `<tool_response>` in the data."""

    class Misspelt(Gemma):
        tokens = tuple(token.replace("tool_response", "tool_reponse") for token in Gemma.tokens)
        tags = ("<tool_response>", "</tool_response>")

    right, wrong = base("gemma2"), base("gemma2")
    new = add_tokens(wrong.model, wrong.tokenizer, Misspelt())
    add_tokens(right.model, right.tokenizer, "gemma")
    assert "<tool_reponse>" in new
    ids = encode(Misspelt().render(ROWS[0]), wrong.tokenizer).ids
    assert new["<tool_reponse>"] not in ids and new["</tool_reponse>"] not in ids
    assert len(ids) > len(encode(get("gemma").render(ROWS[0]), right.tokenizer).ids), "the marker is spelt in pieces"


@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_of_the_matrices_only_new_rows_are_trained(kind: str) -> None:
    loaded = base(kind)
    new = add_tokens(loaded.model, loaded.tokenizer, "gemma")
    ids = torch.tensor([[1, *new.values()]])
    before = loaded.model(input_ids=ids).logits
    model = wrap(loaded.model, Recipe(), new.values())
    assert torch.equal(model(input_ids=ids).logits, before), "an adapter begins as nothing"
    matrices = 1 if kind == "gemma2" else 2
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    rows = {name: one for name, one in trained.items() if "trainable_tokens" in name}
    assert [tuple(one.shape) for one in rows.values()] == [(len(new), 64)] * matrices
    assert all(in_adapter(name) for name in trained)
    assert size(model) == 2 * sum(one.numel() for one in trained.values())
    with torch.no_grad():
        for one in rows.values():
            one += 0.5
    after = model(input_ids=ids).logits
    assert torch.equal(after[0, 0, :5], before[0, 0, :5]), "old tokens say what they said"
    assert not torch.allclose(after[0, 0, list(new.values())], before[0, 0, list(new.values())]), "the head has the new rows"


def test_frozen_rows_are_kept_and_not_trained() -> None:
    loaded = base("gemma2")
    new = add_tokens(loaded.model, loaded.tokenizer, "gemma")
    model = wrap(loaded.model, Recipe(train_rows=False), new.values())
    held = {name: one for name, one in model.named_parameters() if "trainable_tokens" in name}
    assert held and not any(one.requires_grad for one in held.values())


@pytest.mark.parametrize("options", [{"rslora": True}, {"dora": True}, {"rank": 2}, {"rank": 4, "alpha": 4}])
def test_options_reach_the_adapter(options: dict[str, object]) -> None:
    loaded = base("llama")
    recipe = Recipe(**options)  # type: ignore[arg-type]
    config = wrap(loaded.model, recipe, []).peft_config["default"]
    assert (config.r, config.lora_alpha) == (recipe.rank, recipe.alpha or 2 * recipe.rank)
    assert (config.use_rslora, config.use_dora) == (recipe.rslora, recipe.dora)
    reached = {name.rpartition(".")[2] for name in config.target_modules}
    assert reached == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
