"""Replies, asked for once: from the engine, or from the file into which they were written when they came.

Knows which reply belongs to which engine and conversation; does not know what a reply is worth. A run that was killed finds
what it had; nothing is asked twice.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fcutils
from fcutils.dialects import DialectError
from fcutils.engines.base import GREEDY, Constraint, Engine, Sampling, Written
from fcutils.journal import Journal
from fcutils.messages import Conversation


class RepliesError(RuntimeError):
    """The file of replies cannot be read or written, or an engine does not keep to its interface."""


class Replies:
    """Asks an engine, under settings that do not change, and remembers: in a file of JSON lines where `path` names one.

    A line is found again by its conversation and by `described`: name, dialect and settings of the engine, and a digest of the
    weights where they can be seen. Rows on which the engine failed are not written there: the next run tries them again.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        constraint: Constraint | None = None,
        path: str | Path | None = None,
    ) -> None:
        self.engine = engine
        self.settings: dict[str, Any] = {"max_tokens": max_tokens, "sampling": sampling, "constraint": constraint}
        self.described = describe(engine, max_tokens, sampling, constraint)
        self.used: dict[str, Written] = {}  # what was asked for since this object was made, by key
        self._mark = hashlib.sha256(json.dumps(self.described, sort_keys=True).encode()).hexdigest()[:12]
        self._known = _read(path, self._mark) if path else {}
        self._lock = threading.Lock()
        try:
            self._journal = Journal(path) if path else None
        except OSError as error:
            raise RepliesError(f"{path} cannot be written: {error}") from None

    def ask(self, talks: Sequence[Conversation], on_reply: Callable[[int, Written], None] | None = None) -> list[Written]:
        """One reply to each, in order; `on_reply` is told of each place as its reply comes, remembered ones first."""
        keys = [self._key(talk) for talk in talks]
        places: dict[str, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)

        def came(key: str, written: Written) -> None:
            self.used[key] = written
            if on_reply:
                for place in places[key]:
                    on_reply(place, written)

        for key in [key for key in places if key in self._known]:
            came(key, self._known[key])
        self._fetch({key: talks[found[0]] for key, found in places.items() if key not in self._known}, came)
        return [self.used[key] for key in keys]

    def _fetch(self, wanted: Mapping[str, Conversation], came: Callable[[str, Written], None]) -> None:
        """Ask the engine for these. Where it raises instead of reporting a failed row, the rest is asked one by one."""
        keys, done = list(wanted), set[str]()

        def note(key: str, written: Written) -> None:
            with self._lock:
                if key not in done:
                    done.add(key)
                    self._remember(key, written)
                    came(key, written)

        try:
            self._reply_many(keys, wanted, note)
        except RepliesError:
            raise
        except Exception:
            for key in [key for key in keys if key not in done]:
                try:
                    self._reply_many([key], wanted, note)
                except RepliesError:
                    raise
                except Exception as error:
                    note(key, Written(error=f"{type(error).__name__}: {error}"))

    def _reply_many(
        self, keys: Sequence[str], wanted: Mapping[str, Conversation], note: Callable[[str, Written], None]
    ) -> None:
        if not keys:
            return
        written = self.engine.reply_many(
            [wanted[key] for key in keys], **self.settings, on_reply=lambda index, one: note(keys[index], one)
        )
        if len(written) != len(keys):
            raise RepliesError(f"{self.engine.name}: asked for {len(keys)} replies, reply_many gave {len(written)}")
        for key, one in zip(keys, written, strict=True):
            note(key, one)

    def _remember(self, key: str, written: Written) -> None:
        self._known[key] = written
        if self._journal and written.error is None:
            line: dict[str, Any] = {"talk": key, "engine": self._mark}
            line |= {"text": written.text, "tokens": written.tokens, "seconds": written.seconds}
            try:
                self._journal.write(line)
            except OSError as error:
                raise RepliesError(f"{self._journal.path} cannot be written ({error}): make room and run again") from None

    def _key(self, talk: Conversation) -> str:
        """What the model reads, as a digest: two conversations that its dialect renders alike are one question."""
        try:
            pieces = self.engine.dialect.render(talk, generate=True)
            seen = json.dumps([(piece.text, piece.control or piece.tag) for piece in pieces])
        except DialectError:  # a server's own affair, or a row on which the engine is going to fail
            seen = json.dumps(talk.to_dict(), sort_keys=True)
        return hashlib.sha256(seen.encode("utf-8", "backslashreplace")).hexdigest()[:24]


def describe(engine: Engine, max_tokens: int, sampling: Sampling, constraint: Constraint | None) -> dict[str, Any]:
    """What a reply depends on, beside the conversation."""
    return {
        "name": engine.name,
        "server": getattr(engine, "base_url", ""),
        "dialect": engine.dialect.name,
        "constrained": constraint is not None,
        "max_tokens": max_tokens,
        "sampling": repr(sampling),
        "weights": _weights(getattr(engine, "model", None)),
        "fcutils": fcutils.__version__,
    }


def _weights(model: Any) -> str:
    """A digest of a PyTorch model's parameters that any training changes; empty where there is no model to be seen.

    Bits are added up as integers, which gives the same sum in whatever order a machine adds.
    """
    if not hasattr(model, "named_parameters"):
        return ""
    import torch

    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        values = parameter.detach().contiguous().reshape(-1)
        total = int(values.view(bits[values.element_size()]).sum(dtype=torch.int64))
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype} {total}\n".encode())
    return digest.hexdigest()[:12]


def _read(path: str | Path, mark: str) -> dict[str, Written]:
    """The replies of one engine. A line that a crash cut short is no reply."""
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RepliesError(f"{path} cannot be read: {error}") from None
    known = {}
    for line in lines:
        try:
            found = json.loads(line)
            if found["engine"] == mark:
                known[found["talk"]] = Written(found["text"], found["tokens"], found["seconds"])
        except (ValueError, KeyError, TypeError):
            continue
    return known
