"""Which model somebody means on a command line: a key of the catalogue, a folder, a server; with an adapter, or constrained.

Knows how to name and find them. Loading is `models.py`'s, asking is `engines/`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcutils.dialects import DIALECTS
from fcutils.engines.base import Constraint, Engine
from fcutils.models import CATALOGUE, load

if TYPE_CHECKING:
    from fcutils.engines.local import LocalEngine


class OpenError(ValueError):
    """Something that is not there, or two options that cannot go together: says which, and what to say instead."""


def open_engine(
    model: str,
    url: str | None = None,
    dialect: str | None = None,
    adapter: str | Path | None = None,
    constrained: bool = False,
) -> tuple[Engine, Constraint | None]:
    """An engine, and a constraint for its calls where one is asked for. With a `url`, `model` is the server's name for it."""
    if dialect and dialect not in DIALECTS:
        raise OpenError(f"there is no dialect {dialect!r}: there are {', '.join(DIALECTS)}")
    if url is None:
        engine = _local(model, dialect, None if adapter is None else Path(adapter))
        return engine, _held(engine) if constrained else None
    if adapter or constrained:
        raise OpenError(
            "a server loads its own adapters and has its own guided decoding: leave out --adapter and --constrained"
        )
    from fcutils.engines.server import ServerEngine

    return ServerEngine(url, model, dialect or "hermes"), None


def _held(engine: LocalEngine) -> Constraint:
    from fcutils.constrain import Calls

    return Calls(engine)


def _local(model: str, dialect: str | None, adapter: Path | None) -> LocalEngine:
    from fcutils.engines.local import LocalEngine

    if adapter and not (adapter / "adapter_config.json").is_file():
        raise OpenError(f"{adapter} holds no adapter: adapter_config.json is missing")
    if model in CATALOGUE:
        loaded = load(model)
        name, network, tokenizer, own = loaded.name, loaded.model, loaded.tokenizer, loaded.dialect.name
    else:
        name, network, tokenizer, own = _from_folder(Path(model), dialect)
    if adapter:
        network, tokenizer = _with_adapter(network, tokenizer, adapter)
        name += f" + {adapter.name}"
    return LocalEngine(network, tokenizer, dialect or own, name=name)


def _from_folder(folder: Path, dialect: str | None) -> tuple[str, Any, Any, str]:
    """Model and tokenizer; how it is asked is known of the pocket models only."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (folder / "config.json").is_file():
        raise OpenError(f"{str(folder)!r} is neither a model's folder nor a key of the catalogue: {', '.join(CATALOGUE)}")
    own = next((entry.dialect for entry in CATALOGUE.values() if entry.pocket and entry.pocket == folder.name), dialect)
    if not own:
        raise OpenError(f"how is {folder} asked? Say --dialect, one of {', '.join(DIALECTS)}")
    try:
        return folder.name, AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), own
    except (OSError, ValueError, KeyError) as error:
        raise OpenError(f"{folder} is not a model that can be read ({str(error)[:300]}): is it whole?") from error


def _with_adapter(model: Any, tokenizer: Any, folder: Path) -> tuple[Any, Any]:
    """Where the adapter brings a tokenizer, that one counts: it may have tokens that the model's lacks."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    if (folder / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return PeftModel.from_pretrained(model, folder), tokenizer
