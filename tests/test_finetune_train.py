"""Training: what it learns, what a step is, interruptions, full disks, four bits."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from finetune_samples import ROWS, base, row
from torch.nn.functional import cross_entropy

from fcutils.evaluate import evaluate
from fcutils.finetune import FinetuneError, Tuned, train, trainer, tune
from fcutils.finetune.adapter import in_adapter
from fcutils.finetune.plan import activations
from fcutils.finetune.recipe import DECAY, WARM_UP, Recipe, share_of_peak
from fcutils.finetune.rows import IGNORED, prepare
from fcutils.finetune.tokens import add_tokens
from fcutils.finetune.trainer import last_checkpoint

HELD = [row(city) for city in ("Wien", "Genf")]


def state(tuned: Tuned) -> dict[str, torch.Tensor]:
    return {name: one.detach() for name, one in tuned.model.named_parameters() if in_adapter(name)}


def same(one: Tuned, two: Tuned) -> bool:
    return all(torch.equal(a, b) for a, b in zip(state(one).values(), state(two).values(), strict=True))


# ---- what it learns ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt() -> Tuned:
    """One row by heart, in a format of which the model knew no token."""
    return tune(base("gemma2"), ROWS[:1], validation=HELD, steps=60, batch=1, learning_rate=0.02, rank=16)


def test_a_model_learns_to_think_call_and_stop(learnt: Tuned, capsys: pytest.CaptureFixture[str]) -> None:
    report = evaluate(learnt.engine(), ROWS[:1], progress=False)
    assert report.scores["whole call"].share == 1.0
    chat = learnt.engine().chat(ROWS[0].tools)
    chat.add(ROWS[0].messages[0])
    said = "".join(chat.write(max_tokens=100))
    assert said.startswith("<think>The weather in Oslo.</think>")
    assert chat.ended == "end"


def test_the_history_can_be_plotted(learnt: Tuned) -> None:
    steps, losses = learnt.curve()
    assert steps == list(range(1, 61))
    assert losses[-1] < losses[0] / 4
    looked, held = learnt.curve("validation_loss")
    assert looked == [10, 20, 30, 40, 50, 60] and all(value > 0 for value in held)
    seconds = [entry["seconds"] for entry in learnt.history]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_the_facts_say_what_was_done(learnt: Tuned) -> None:
    facts = learnt.facts
    assert (facts["steps"], facts["rows"], facts["device"], facts["processes"]) == (60, 1, "cpu", 1)
    assert facts["learnt_tokens_a_second"] > 0
    assert {"torch", "trl", "peft", "transformers"} <= set(facts["versions"])
    assert list(learnt.tokens) == ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


def test_new_rows_moved_and_the_weights_did_not(learnt: Tuned) -> None:
    fresh = base("gemma2")
    add_tokens(fresh.model, fresh.tokenizer, "gemma")
    inner = learnt.model.get_base_model()
    for name, one in fresh.model.state_dict().items():
        name = name.replace("_proj.weight", "_proj.base_layer.weight").replace(
            "embed_tokens.weight", "embed_tokens.token_adapter.base_layer.weight"
        )
        if "lm_head" not in name:
            assert torch.equal(inner.state_dict()[name], one), name
    rows = next(one for name, one in state(learnt).items() if "trainable_tokens" in name)
    assert not torch.allclose(rows, fresh.model.get_input_embeddings().weight[-6:], atol=1e-3)


def test_training_leaves_nothing_behind_in_the_model(learnt: Tuned) -> None:
    for one in (learnt.model, learnt.model.get_base_model()):
        assert "forward" not in one.__dict__
    assert not learnt.model.training
    out = learnt.model(input_ids=torch.tensor([[1, 2, 3]]))
    assert out.logits.dtype == torch.float32 and out.past_key_values is not None


def test_frozen_rows_stay_and_the_rest_learns() -> None:
    tuned = tune(base("gemma2"), ROWS[:2], steps=2, train_rows=False)
    fresh = base("gemma2")
    add_tokens(fresh.model, fresh.tokenizer, "gemma")
    rows = next(one for name, one in state(tuned).items() if "trainable_tokens" in name)
    assert torch.equal(rows, fresh.model.get_input_embeddings().weight[-6:].bfloat16().float())
    assert any(one.abs().max() > 0 for name, one in state(tuned).items() if "lora_B" in name)


# ---- what a step is ----------------------------------------------------------------------------------------------------


def _loss_by_hand(rows: list[Any], **options: Any) -> float:
    """Cross-entropy over learnt tokens, one row at a time, in plain torch."""
    loaded = base("gemma2")
    add_tokens(loaded.model, loaded.tokenizer, "gemma")
    made = prepare(rows, "gemma", loaded.tokenizer, 1024, **options)
    total = 0.0
    for ids, labels in zip(made.ids, made.labels, strict=True):
        with torch.inference_mode():
            logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, :-1]
        total += cross_entropy(logits, torch.tensor(labels[1:]), ignore_index=IGNORED, reduction="sum").item()
    return total / made.learnt


@pytest.mark.parametrize("options", [{"packing": False}, {"packing": True, "length": 1024}, {"answers_only": False}])
def test_the_loss_is_the_mean_over_learnt_tokens_however_they_are_packed(options: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("fcutils.finetune.train.precision_of", lambda model: "fp32")
    tuned = tune(base("gemma2"), ROWS, steps=1, batch=len(ROWS), **options)
    by_hand = _loss_by_hand(ROWS, answers_only=options.get("answers_only", True))
    assert tuned.history[0]["loss"] == pytest.approx(by_hand, rel=1e-4)


def test_a_step_of_many_rows_is_one_step_of_their_mean(monkeypatch: Any) -> None:
    """Rows of different lengths weigh by their tokens, not by their number, whether they come in one pack or in many."""
    monkeypatch.setattr("fcutils.finetune.train.precision_of", lambda model: "fp32")
    one = tune(base("gemma2"), ROWS[:4], steps=1, batch=4, packing=False)
    packed = tune(base("gemma2"), ROWS[:4], steps=1, batch=1, packing=True, length=1024)
    for (name, a), b in zip(state(one).items(), state(packed).values(), strict=True):
        assert torch.allclose(a, b, atol=2e-4), name


def test_checkpointed_activations_change_no_result(monkeypatch: Any) -> None:
    monkeypatch.setattr("fcutils.finetune.train.precision_of", lambda model: "fp32")
    plain = tune(base("llama"), ROWS[:2], steps=2, checkpointing=False)
    twice = tune(base("llama"), ROWS[:2], steps=2, checkpointing=True)
    assert twice.facts["checkpointing"] and not plain.facts["checkpointing"]
    for a, b in zip(state(plain).values(), state(twice).values(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_activations_are_computed_twice_where_they_would_not_fit(monkeypatch: Any) -> None:
    model = base("gemma2").model
    needed = {wide: activations(model.config, 1024, checkpointing=False, wide=wide) for wide in (2, 4)}
    for precision, wide in (("bf16", 2), ("fp32", 4)):
        monkeypatch.setattr(train, "precision_of", lambda _model, said=precision: said)
        for room, twice in ((1.9, True), (2.1, False)):
            monkeypatch.setattr(trainer, "free_memory", lambda _device, free=room * needed[wide]: free)
            assert train._checkpointing(model, Recipe(), 1024) is twice
            assert train._checkpointing(model, Recipe(checkpointing=not twice), 1024) is not twice


@pytest.mark.parametrize(
    ("native", "loaded", "computed"),
    [(True, torch.bfloat16, "bf16"), (False, torch.float16, "fp16"), (False, torch.float32, "fp32")],
)
def test_a_gpu_computes_in_what_it_has_and_the_model_bears(
    native: bool, loaded: torch.dtype, computed: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    model = SimpleNamespace(device=torch.device("cuda"), dtype=loaded)
    assert train.precision_of(model) == computed


def test_the_same_call_gives_the_same_adapter() -> None:
    assert same(tune(base("llama"), ROWS, steps=3), tune(base("llama"), ROWS, steps=3))
    assert not same(tune(base("llama"), ROWS, steps=3), tune(base("llama"), ROWS, steps=3, seed=1))


def test_the_clock_ends_a_training_and_lowers_the_rate() -> None:
    tuned = tune(base("llama"), ROWS[:2], minutes=0.02, batch=1)
    assert 1 <= tuned.facts["steps"] < 1000
    assert tuned.facts["seconds"] >= 1.2
    assert [share_of_peak(done) for done in (0.0, WARM_UP, 0.5, 1.0)] == [pytest.approx(v) for v in (0.1, 1.0, 1.0, 0.05)]
    falling = [share_of_peak(1 - DECAY + DECAY * step / 10) for step in range(11)]
    assert falling == sorted(falling, reverse=True)


def test_epochs_are_counted_in_rows() -> None:
    assert tune(base("llama"), ROWS, epochs=2, batch=4, packing=False).facts["steps"] == 2 * len(ROWS) / 4


def test_scores_are_taken_while_it_trains() -> None:
    tuned = tune(base("llama"), ROWS[:2], validation=HELD, steps=6, score=lambda engine: {"context": engine.context})
    assert tuned.curve("context") == ([1, 2, 3, 4, 5, 6], [1024] * 6)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [({"rank": 0}, "rank must be above 0"), ({"steps": -1}, "steps"), ({"epochs": 1, "steps": 2}, "how long to train once")],
)
def test_a_recipe_that_cannot_be_is_refused(recipe: dict[str, Any], why: str) -> None:
    with pytest.raises(FinetuneError, match=why):
        Recipe(**recipe)


def test_progress_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    tune(base("gemma2"), ROWS[:2], validation=HELD, steps=2)
    out, err = capsys.readouterr()
    assert "training: 100%" in out and "2 rows" in out and "<tool_response>" in out
    assert err == ""


# ---- interrupted -------------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from finetune_samples import ROWS, base, row
from fcutils.finetune import tune

looks = []
def score(engine):
    looks.append(1)
    if len(looks) == 3:
        os.kill(os.getpid(), signal.SIGKILL)  # no time to tidy up
    return {"looks": len(looks)}

tune(base("gemma2"), ROWS, validation=[row("Wien"), row("Genf")], folder=sys.argv[2], score=score, steps=10)
"""


def test_a_killed_run_goes_on_to_the_result_of_an_undisturbed_one(tmp_path: Path) -> None:
    whole = tune(base("gemma2"), ROWS, steps=10)
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert (done.returncode, done.stderr) == (-9, b""), "nothing is said on stderr"
    assert last_checkpoint(tmp_path / "run" / "checkpoints").name == "checkpoint-4"
    resumed = tune(base("gemma2"), ROWS, validation=HELD, folder=tmp_path / "run", steps=10)
    assert same(resumed, whole)
    assert resumed.curve()[0] == list(range(1, 11)), "its history is whole, too"
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()


def test_a_finished_run_is_not_trained_again_and_another_is_refused(tmp_path: Path) -> None:
    one = tune(base("llama"), ROWS[:4], folder=tmp_path, steps=3)
    again = tune(base("llama"), ROWS[:4], folder=tmp_path, steps=3)
    assert same(one, again) and again.facts["steps"] == 3
    for rows, options in ((ROWS[1:5], {"steps": 3}), (ROWS[:4], {"steps": 4}), (ROWS[:4], {"steps": 3, "rank": 2})):
        with pytest.raises(FinetuneError, match="name another folder"):
            tune(base("llama"), rows, folder=tmp_path, **options)


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step, text in ((2, "{}"), (10, "{}"), (12, '{"global_step": 1')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    (tmp_path / "checkpoint-14").mkdir()
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert last_checkpoint(tmp_path / "nowhere") is None


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that takes no file above this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    def fill(engine: Any) -> dict[str, float]:
        looks.append(1)
        if len(looks) == 3:  # at step 5, before its checkpoint
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return {}

    looks: list[int] = []
    options = {"validation": HELD, "folder": tmp_path, "steps": 10}
    with largest_file(2**40), pytest.raises(FinetuneError, match="checkpoint 5 could not be saved") as error:
        tune(base("llama"), ROWS, score=fill, **options)
    assert "checkpoint-4" in str(error.value) and "goes on from there" in str(error.value)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-3", "checkpoint-4"]
    assert same(tune(base("llama"), ROWS, **options), tune(base("llama"), ROWS, steps=10))


def test_a_full_disk_leaves_the_result_that_was_saved_before(tmp_path: Path) -> None:
    first = tune(base("llama"), ROWS[:2], steps=1).save(tmp_path / "result")
    kept = {path.name: path.read_bytes() for path in first.iterdir()}
    other = tune(base("llama"), ROWS[:2], steps=2)
    with largest_file(20_000), pytest.raises(FinetuneError, match="is untouched"):
        other.save(tmp_path / "result")
    assert {path.name: path.read_bytes() for path in first.iterdir()} == kept
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    other.save(tmp_path / "result")
    assert {path.name: path.read_bytes() for path in first.iterdir()} != kept


def test_a_score_without_anything_to_look_at_is_refused() -> None:
    with pytest.raises(FinetuneError, match="give validation rows"):
        tune(base("llama"), ROWS, score=lambda engine: {"x": 1.0})
