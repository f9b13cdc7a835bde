"""The catalogue: which models the course speaks of, their pocket twins, and how to get one into memory and out of it again.

`load("gemma")` gives the twin that lies in this repository; `FC_MODELS=full` or `full=True` the model itself. A model that is
small enough for a CPU has no twin: `load("qwen3")` is Qwen3 itself, and needs a network once. It knows precision,
memory and access, and says what to do where one of them is missing; not how a model is asked (`engines/`).
"""

from __future__ import annotations

import gc
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from fcutils.dialects import Dialect, get

HOME = Path(__file__).resolve().parent.parent / "assets" / "models"
SUMS = "SHA256SUMS"
# Beside a pocket model, for people: not checked.
NOTES = ("training.jsonl", "scores.json", "training.svg", "README.md", "replies.json")
GIB = 2**30
SPARE_GIB = 0.8  # beside the weights: keys and values, activations, the libraries

Precision = Literal["fp32", "bf16", "fp16", "nf4"]
# Of a weight. NF4: 4 bits, and its share of scales that are themselves kept in 8 bits (double quantisation).
BYTES: Mapping[Precision, float] = MappingProxyType({"fp32": 4, "bf16": 2, "fp16": 2, "nf4": 0.516})


class ModelError(RuntimeError):
    """A model that cannot be loaded: says what is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue."""

    key: str
    hub: str
    pocket: str  # "": it has no twin, and is small enough for a CPU
    dialect: str
    parameters: float
    embeddings: float  # of these, which 4-bit loading leaves in 16 bits
    mirror: str = ""  # an open copy of a gated model
    half: bool = True  # whether fp16 holds its activations

    @property
    def instead(self) -> str:
        """What to take where it cannot be had."""
        return "the pocket twin (full=False)" if self.pocket else "one that lies in the repository, load('hermes3') say"

    def gib(self, precision: Precision) -> float:
        """Memory that it needs, an estimate."""
        thick = self.embeddings * 2 if precision == "nf4" else self.embeddings * BYTES[precision]
        return ((self.parameters - self.embeddings) * BYTES[precision] + thick) / GIB + SPARE_GIB


CATALOGUE: Mapping[str, Entry] = MappingProxyType(
    {
        entry.key: entry
        for entry in (
            Entry("openhermes", "teknium/OpenHermes-2.5-Mistral-7B", "pocket-hermes", "openhermes", 7.24e9, 0.26e9),
            Entry(
                "gemma",
                "google/gemma-2-2b-it",
                "pocket-gemma-it",
                "gemma",
                2.61e9,
                0.59e9,
                mirror="unsloth/gemma-2-2b-it",
                half=False,
            ),
            Entry(
                "gemma-base",
                "google/gemma-2-2b",
                "pocket-gemma",
                "gemma",
                2.61e9,
                0.59e9,
                mirror="unsloth/gemma-2-2b",
                half=False,
            ),
            Entry("hermes3", "NousResearch/Hermes-3-Llama-3.1-8B", "pocket-hermes", "hermes", 8.03e9, 1.05e9),
            Entry("qwen3", "Qwen/Qwen3-0.6B", "", "qwen3", 0.596e9, 0.156e9),
            Entry(
                "functiongemma",
                "google/functiongemma-270m-it",
                "",
                "functiongemma",
                0.268e9,
                0.168e9,
                mirror="unsloth/functiongemma-270m-it",
                half=False,
            ),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory, with what it takes to ask it. `card` is the line that was printed."""

    name: str
    model: Any
    tokenizer: Any
    dialect: Dialect
    card: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is loaded, from where, and how."""

    source: str
    why: str
    precision: Precision
    device: str
    needed: float  # GiB
    free: float


def load(key: str, full: bool | str | None = None, quantise: bool | None = None, device: str | None = None) -> Loaded:
    """Model, tokenizer and dialect of a line of the catalogue; prints what was loaded, why, and the memory it needs and has.

    `full`: True for the model itself, False for its pocket twin, None as FC_MODELS says (`full` or `pocket`, the default), if
    it has a twin; a hub id or a folder names another copy. `quantise`: True for 4 bits (NF4), False never, None where nothing
    else fits. `device`: None takes a GPU where there is one.
    """
    if key not in CATALOGUE:
        raise ModelError(f"no model {key!r} in the catalogue: there are {', '.join(CATALOGUE)}")
    entry = CATALOGUE[key]
    plan = _plan_full(entry, full, quantise, device) if wants_full(entry, full) else _plan_pocket(entry, quantise, device)
    model, tokenizer = _read(entry, plan)
    name = Path(plan.source).name
    count = sum(one.numel() * (2 if one.dtype.itemsize == 1 else 1) for one in model.parameters())  # NF4: two in a byte
    card = (
        f"{key}: {name} ({plan.why}), {type(model).__name__}, {_count(count)} parameters, {plan.precision} on {plan.device}, "
        f"dialect {entry.dialect}; memory: needs about {plan.needed:.1f} GiB, {plan.free:.1f} GiB free"
    )
    print(card)
    return Loaded(name, model, tokenizer, get(entry.dialect), card)


def delete_model(*models: Any) -> int:
    """Free the memory of models, and give back how many bytes that was. They cannot be used afterwards.

    Works whoever else still holds the model: `del model` frees nothing as long as one name, one notebook output or one
    optimiser refers to it.
    """
    freed: dict[int, int] = {}
    for model in (one.model if isinstance(one, Loaded) else one for one in models):
        for tensor in [*model.parameters(), *model.buffers()]:
            for held in (tensor, tensor.grad) if tensor.grad is not None else (tensor,):
                storage = held.untyped_storage()
                if storage.device.type != "meta":
                    freed[storage.data_ptr()] = storage.nbytes()
                held.data = held.data.new_empty(0)
            tensor.grad = None
    gc.collect()
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return sum(freed.values())


def write_checksums(folder: Path) -> None:
    """Note what every file that is loaded looks like, in the form that `sha256sum -c` reads."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name not in (SUMS, *NOTES))
    lines = "".join(f"{_sha256(path)}  {path.name}\n" for path in files)
    (folder / SUMS).write_text(lines, encoding="utf-8", newline="\n")


def check_files(folder: Path) -> None:
    """An error that says which file is missing or damaged, and how to get it back."""
    cure = f"get the folder anew: git checkout -- assets/models/{folder.name}"
    if not (folder / SUMS).is_file():
        raise ModelError(
            f"there is no model in {folder}: {SUMS} is missing. In a clone of the repository, {cure}; where the package is "
            "installed without the repository, load the full models (full=True, or FC_MODELS=full)"
        )
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        wanted, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path} is missing; {cure}")
        if _sha256(path) != wanted:
            raise ModelError(f"{path} is damaged: it is not the file that {SUMS} names; {cure}")


# ---- what to load, and whether it can be -------------------------------------------------------------------------------


def wants_full(entry: Entry, full: bool | str | None = None) -> bool:
    """Whether `load` takes the model itself, or its pocket twin."""
    if not entry.pocket:
        if full is False:
            raise ModelError(f"{entry.key} has no pocket twin, it is small itself: leave out full, or take hermes3")
        return True
    if full is not None:
        return bool(full)
    wish = os.environ.get("FC_MODELS", "pocket")
    if wish not in ("pocket", "full", ""):
        raise ModelError(f"FC_MODELS is {wish!r}: set it to full or pocket, or leave it out")
    return wish == "full"


def _plan_pocket(entry: Entry, quantise: bool | None, device: str | None) -> _Plan:
    folder = HOME / entry.pocket
    check_files(folder)
    device = device or _gpu() or "cpu"
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    plan = _Plan(
        str(folder),
        f"the pocket twin; FC_MODELS=full for {entry.hub}",
        "nf4" if quantise else "fp32",
        device,
        size / GIB + SPARE_GIB / 4,
        _free(device),
    )
    return _fitting(plan, "close other programs")


def _plan_full(entry: Entry, full: bool | str | None, quantise: bool | None, device: str | None) -> _Plan:
    source = full if isinstance(full, str) else entry.hub
    why = "full=" + repr(full) if full else "FC_MODELS=full" if entry.pocket else "small enough for a CPU"
    device = device or _gpu() or ("" if entry.pocket else "cpu")
    if not device:
        raise ModelError(
            f"{source} needs a GPU, and there is none here: take the pocket twin (full=False, or unset FC_MODELS), run on "
            f"Colab with a T4, or ask for device='cpu' ({entry.gib('fp32'):.0f} GiB of memory and much patience)"
        )
    free = _free(device)
    usual = _precision(entry, device)
    four_bits = quantise if quantise is not None else entry.gib(usual) > free
    precision: Precision = "nf4" if four_bits else usual
    plan = _Plan(source, why, precision, device, entry.gib(precision), free)
    cure = "quantise=True loads it in 4 bits" if precision != "nf4" else f"take a larger GPU, or {entry.instead}"
    return _fitting(plan, f"free memory (delete_model on what is loaded), or {cure}")


def _fitting(plan: _Plan, cure: str) -> _Plan:
    if plan.needed > plan.free:
        raise ModelError(
            f"{plan.source} in {plan.precision} needs about {plan.needed:.1f} GiB on {plan.device}, "
            f"{plan.free:.1f} GiB are free: {cure}"
        )
    return plan


def _precision(entry: Entry, device: str) -> Precision:
    """bf16 where it is native; else fp16, unless the model overflows there."""
    import torch

    if not device.startswith("cuda"):
        return "fp32"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp16" if entry.half else "fp32"


def _gpu() -> str:
    """This process's GPU, "" where there is none: of several processes on one machine, each takes the one of its number."""
    import torch

    if not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1"):
        return ""
    number = int(os.environ.get("LOCAL_RANK", -1))  # accelerate and torchrun say it to each process they start
    if number < 0:
        return "cuda"
    if number >= (count := torch.cuda.device_count()):
        raise ModelError(
            f"process {number + 1} of this machine has no GPU left, it has {count}: launch --num_processes {count}"
        )
    torch.cuda.set_device(number)  # also for what asks about "the" GPU afterwards: its memory, its precisions
    return f"cuda:{number}"


def _free(device: str) -> float:
    """GiB."""
    if device.startswith("cuda"):
        import torch

        try:
            return torch.cuda.mem_get_info(device)[0] / GIB
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"device {device!r} cannot be used here ({str(error)[:120]}): leave device out, or say 'cpu'"
            ) from None
    import psutil

    return psutil.virtual_memory().available / GIB


# ---- reading -----------------------------------------------------------------------------------------------------------


def _read(entry: Entry, plan: _Plan) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with _no_bar():
            tokenizer = AutoTokenizer.from_pretrained(plan.source)
            model = AutoModelForCausalLM.from_pretrained(plan.source, device_map={"": plan.device}, **_options(plan, entry))
    except Exception as error:
        raise ModelError(_explained(error, entry, plan)) from error
    _keep_packing(model)
    return model.eval(), tokenizer


def _keep_packing(model: Any) -> None:
    """On some processors bitsandbytes packs 4-bit weights anew when a model is first asked, for a kernel without gradients:
    what is trained or merged after that is wrong, and nothing says so.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def _no_bar() -> Iterator[None]:
    """Without the bar that transformers draws on stderr for every model, also for one that is read in a tenth of a second."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _options(plan: _Plan, entry: Entry) -> dict[str, Any]:
    import torch

    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if plan.precision != "nf4":
        return {"dtype": types[plan.precision]}
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # without a GPU it warns when it is imported
    compute = types[_precision(entry, plan.device)]
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    return {"quantization_config": config, "dtype": compute}


def _explained(error: BaseException, entry: Entry, plan: _Plan) -> str:
    """What went wrong while reading, and what to do; the library's own words where nothing better is known."""
    import torch
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__

    def any_of(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    if any_of(GatedRepoError):
        mirror = f", or load an open copy: load({entry.key!r}, full={entry.mirror!r})" if entry.mirror else ""
        return (
            f"{plan.source} is gated: accept its licence at https://huggingface.co/{plan.source}, log in with `hf auth login` "
            f"(on Colab: the secret HF_TOKEN){mirror}"
        )
    if any_of(torch.OutOfMemoryError, MemoryError):
        return f"{plan.source} did not fit on {plan.device} while it was read: free memory, or quantise=True"
    if Path(plan.source).is_dir():
        return f"{plan.source} is not a model that can be read ({str(error)[:200]}): is it the right folder, and whole?"
    if any_of(RepositoryNotFoundError):
        return f"there is no model {plan.source!r} on the hub, or it is not open to you: check the name"
    if any_of(LocalEntryNotFoundError, HfHubHTTPError, ConnectionError):
        return f"{plan.source} could not be fetched: check the network, or take {entry.instead}"
    return f"{plan.source} could not be loaded: {type(error).__name__}: {str(error)[:300]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.2f}B" if parameters >= 1e9 else f"{parameters / 1e6:.1f}M"
