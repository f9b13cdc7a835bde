"""The catalogue: what is loaded and why, what stands in the way, and that deleting frees what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from fcutils import models
from fcutils.dialects import DIALECTS
from fcutils.engines.local import LocalEngine
from fcutils.models import CATALOGUE, ModelError, check_files, delete_model, load, write_checksums


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for pocket models, with a small random one under every name."""
    monkeypatch.setattr(models, "HOME", tmp_path)
    monkeypatch.delenv("FC_MODELS", raising=False)
    for name in {entry.pocket for entry in CATALOGUE.values() if entry.pocket}:
        engine = tiny.engine("gemma2" if "gemma" in name else "llama")
        engine.model.save_pretrained(tmp_path / name)
        engine.tokenizer.save_pretrained(tmp_path / name)
        write_checksums(tmp_path / name)
    return tmp_path


def test_the_catalogue_holds_together() -> None:
    for key, entry in CATALOGUE.items():
        assert entry.key == key
        assert entry.dialect in DIALECTS
        assert entry.hub.count("/") == 1
        assert entry.gib("nf4") < entry.gib("fp16") == entry.gib("bf16") < entry.gib("fp32")
    assert CATALOGUE["hermes3"].gib("nf4") < 8, "a T4 holds it in 4 bits"
    assert CATALOGUE["hermes3"].gib("fp16") > 15, "and not in 16"


@pytest.mark.parametrize("key", [key for key, entry in CATALOGUE.items() if entry.pocket])
def test_a_twin_is_loaded_ready_to_be_asked(home: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load(key, device="cpu")
    engine = LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect, name=loaded.name)
    assert engine.name == CATALOGUE[key].pocket
    assert engine.dialect.name == CATALOGUE[key].dialect
    assert next(loaded.model.parameters()).dtype == torch.float32
    printed = capsys.readouterr()
    assert printed.out.endswith(loaded.card + "\n")
    assert "Loading" not in printed.err
    for part in (key, CATALOGUE[key].pocket, CATALOGUE[key].hub, "fp32 on cpu", "GiB free"):
        assert part in loaded.card


def test_loading_takes_four_bits_when_asked(home: Path) -> None:
    loaded = load("hermes3", quantise=True, device="cpu")
    assert "nf4 on cpu" in loaded.card
    (size,) = re.findall(r"[\d.]+M parameters", loaded.card)
    assert size in load("hermes3", quantise=False, device="cpu").card, "two are packed into a byte"
    assert any(parameter.dtype == torch.uint8 for parameter in loaded.model.parameters())
    engine = LocalEngine(loaded.model, loaded.tokenizer, loaded.dialect)
    chat = engine.chat()
    chat.say("hi")
    list(chat.write(max_tokens=3))
    assert chat.sampled == 3 or chat.ended == "end"


@pytest.mark.parametrize("key", ["qwen3", "functiongemma"])
def test_a_model_that_is_small_itself_needs_no_gpu(home: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(models, "_free", lambda device: 8.0)
    entry = CATALOGUE[key]
    for wish in ("pocket", "full"):
        monkeypatch.setenv("FC_MODELS", wish)
        assert models.wants_full(entry, None)
    plan = models._plan_full(entry, None, None, None)
    assert (plan.source, plan.device, plan.precision) == (entry.hub, "cpu", "fp32") and plan.needed < 4
    assert load(key, full=str(home / "pocket-hermes")).dialect.name == key
    with pytest.raises(ModelError, match="no pocket twin"):
        load(key, full=False)
    words = models._explained(ConnectionError(), entry, plan)
    assert "check the network" in words and "load('hermes3')" in words and "twin" not in words


def test_what_full_means(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FC_MODELS", "full")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load("hermes3", full=False).name == "pocket-hermes"
    with pytest.raises(ModelError, match="needs a GPU") as no_gpu:
        load("hermes3")
    for part in ("Hermes-3", "pocket twin", "Colab", "device='cpu'"):
        assert part in str(no_gpu.value)
    monkeypatch.setenv("FC_MODELS", "big")
    with pytest.raises(ModelError, match="full or pocket"):
        load("hermes3")
    monkeypatch.setenv("FC_MODELS", "pocket")
    assert load("hermes3").name == "pocket-hermes"


def test_another_copy_is_named_by_its_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = models.Entry("hermes3", "x/y", "pocket-hermes", "hermes", 1e6, 1e5)
    monkeypatch.setattr(models, "CATALOGUE", {"hermes3": small})
    loaded = load("hermes3", full=str(home / "pocket-hermes"), device="cpu")
    assert "full=" in loaded.card


def test_not_enough_memory_says_what_is_missing_before_anything_is_read(home: Path) -> None:
    with pytest.raises(ModelError, match=r"in fp32 needs about .* GiB on cpu, .* GiB are free: .*quantise=True") as full:
        huge = models.Entry("x", "a/b", "pocket-hermes", "hermes", 1e14, 1e9)
        models._plan_full(huge, True, False, "cpu")
    assert "delete_model" in str(full.value)


def test_four_bits_are_taken_where_nothing_else_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = CATALOGUE["hermes3"]
    monkeypatch.setattr(models, "_free", lambda device: 10.0)
    assert models._plan_full(entry, True, None, "cpu").precision == "nf4"
    monkeypatch.setattr(models, "_free", lambda device: 100.0)
    assert models._plan_full(entry, True, None, "cpu").precision == "fp32"
    monkeypatch.setattr(models, "_free", lambda device: 3.0)
    with pytest.raises(ModelError, match="larger GPU"):
        models._plan_full(entry, True, None, "cpu")


def test_half_precision_only_where_the_model_bears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)  # as on a T4
    assert models._precision(CATALOGUE["hermes3"], "cuda") == "fp16"
    assert models._precision(CATALOGUE["gemma"], "cuda") == "fp32", "Gemma 2 overflows in fp16"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert models._precision(CATALOGUE["gemma"], "cuda") == "bf16"


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `accelerate launch` numbers them; how many GPUs there are, and which was taken, is told here."""
    taken: list[int] = []
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert (models._gpu(), taken) == ("cuda", [])
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert (models._gpu(), taken) == ("cuda:1", [1])
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ModelError, match=r"process 3 .* it has 2: launch --num_processes 2"):
        models._gpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert models._gpu() == "", "two_cpu_processes.yaml on a machine that has GPUs"


def test_an_unknown_key_names_those_there_are() -> None:
    with pytest.raises(ModelError, match="openhermes, gemma"):
        load("gpt5")


def test_a_device_that_is_not_there(home: Path) -> None:
    if torch.cuda.is_available():
        return
    with pytest.raises(ModelError, match="cannot be used here"):
        load("gemma", device="cuda:3")


# ---- damaged, missing, elsewhere ---------------------------------------------------------------------------------------


def test_a_damaged_weight_file(home: Path) -> None:
    weights = home / "pocket-hermes" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="damaged") as damaged:
        load("hermes3")
    assert "git checkout -- assets/models/pocket-hermes" in str(damaged.value)


def test_a_truncated_and_a_missing_file(home: Path) -> None:
    weights = home / "pocket-hermes" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="damaged"):
        load("hermes3")
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing; get the folder anew"):
        load("hermes3")


def test_a_place_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "HOME", tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"there is no model in .*full=True"):
        load("gemma", full=False)


@pytest.mark.parametrize("inside", [{}, {"config.json": "{"}, {"config.json": '{"model_type": "llama"}'}, {"a.txt": "hello"}])
def test_a_folder_that_is_no_model(tmp_path: Path, inside: dict[str, str]) -> None:
    for name, text in inside.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match="is it the right folder"):
        _read(str(tmp_path))


def _read(source: str) -> Any:
    plan = models._Plan(source, "asked for", "fp32", "cpu", 1.0, 10.0)
    return models._read(CATALOGUE["gemma"], plan)


def test_no_network_no_access_no_such_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    plan = models._Plan("google/gemma-2-2b-it", "asked for", "bf16", "cuda", 1.0, 10.0)

    def words(kind: type[BaseException]) -> str:
        cause = kind.__new__(kind)
        outer = OSError("something long\nabout urls")
        outer.__cause__ = cause
        return models._explained(outer, CATALOGUE["gemma"], plan)

    gated = words(GatedRepoError)
    for part in ("accept its licence", "hf auth login", "HF_TOKEN", "unsloth/gemma-2-2b-it"):
        assert part in gated
    assert "could not be fetched" in words(LocalEntryNotFoundError)
    assert "check the name" in words(RepositoryNotFoundError)
    assert "quantise=True" in words(torch.OutOfMemoryError)
    assert "\n" not in gated


def test_checksums_are_what_sha256sum_writes(tmp_path: Path) -> None:
    (tmp_path / "b.bin").write_bytes(b"")
    (tmp_path / "a.txt").write_text("abc")
    write_checksums(tmp_path)
    check_files(tmp_path)
    first, second = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert first == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.txt"
    assert second.endswith("  b.bin")
    write_checksums(tmp_path)
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 2, "it does not count itself"


# ---- deleting ----------------------------------------------------------------------------------------------------------


MEASURED_ALONE = """
import gc, psutil, torch
from fcutils.models import delete_model

def resident():
    gc.collect()
    return psutil.Process().memory_info().rss

model = torch.nn.Sequential(*(torch.nn.Linear(2500, 2500) for _ in range(4)))  # 100 MB
held = [model, list(model.parameters()), model[0]]
for parameter in model.parameters():
    parameter.grad = torch.ones_like(parameter)
before = resident()
freed = delete_model(model)
print(freed, before - resident(), delete_model(model), len(held))
"""


def test_deleting_frees_what_it_says_even_while_others_hold_the_model() -> None:
    # in a process of its own: the allocator of a long one keeps pages, and its other tests come and go
    answer = subprocess.run([sys.executable, "-c", MEASURED_ALONE], capture_output=True, text=True, check=True)
    freed, gone, freed_again, _held = (int(word) for word in answer.stdout.split())
    assert freed == pytest.approx(200e6, rel=0.01), "weights and gradients"
    assert gone > 0.95 * freed
    assert freed_again == 0


def test_tied_weights_count_once() -> None:
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(100, 100, bias=False), "b": torch.nn.Linear(100, 100, bias=False)})
    model["b"].weight = model["a"].weight
    assert delete_model(model) == 40_000


def test_a_loaded_model_is_deleted_as_a_whole(home: Path) -> None:
    loaded = load("hermes3", device="cpu")
    size = sum(parameter.numel() * 4 for parameter in loaded.model.parameters())
    assert delete_model(loaded) >= size
    with pytest.raises((RuntimeError, IndexError)):
        loaded.model(torch.tensor([[1]]))


def test_importing_the_catalogue_loads_no_torch() -> None:
    code = "import sys, fcutils.models; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
