"""A warm process to run work in, which really ends when its time is up: the work, its threads and its children.

Knows bytes: a callable pickled with cloudpickle takes bytes and gives bytes. Does not know what a tool is (`tool.py`). A fresh
interpreter is started, never a fork, so that it works the same on every system, and functions from a notebook travel by value.

A worker is used again as long as a call leaves nothing behind. One that outstays its limit, dies, or leaves a thread or a child
running is killed with everything it started, and the next call gets a new one; so does a call after a module was edited that
the worker has imported.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import struct
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import IO, Literal

import cloudpickle
import psutil

START_LIMIT = 60.0  # seconds to start a worker, and to load a callable: neither counts as the callable's own time
MOST_WORKERS = max(4, os.cpu_count() or 1)  # at work at the same time; further calls wait for a free one
_FRAME = struct.Struct(">cQ")
_LONGEST = 2**32
_LIBRARIES = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from fcutils.worker import serve; serve()"


class WorkerError(Exception):
    """Work that came to no result: it `timed_out`, its process `crashed`, or it `failed` to load."""

    def __init__(self, kind: Literal["timed_out", "crashed", "failed"], reason: str) -> None:
        super().__init__(reason)
        self.kind: Literal["timed_out", "crashed", "failed"] = kind


def run(payload: bytes, argument: bytes, limit: float) -> bytes:
    """What the pickled callable makes of the argument, in a worker process, within the limit in seconds."""
    return _POOL.run(payload, argument, limit)


class _Outdated(Exception):
    """A module that the worker has imported was edited since."""


class _Pool:
    """The idle workers of this process, and how many may be at work."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._slots = threading.BoundedSemaphore(MOST_WORKERS)

    def run(self, payload: bytes, argument: bytes, limit: float) -> bytes:
        with self._slots:
            while True:
                worker = self._take()
                try:
                    reply, clean = worker.run(payload, argument, limit)
                except _Outdated:
                    worker.kill()
                    continue
                except BaseException:  # Ctrl-C too: a worker in the middle of something is of no more use
                    worker.kill()
                    raise
                if clean:
                    self._idle.append(worker)
                else:
                    worker.kill()
                return reply

    def _take(self) -> _Worker:
        with suppress(IndexError):  # pop() is one step: two threads cannot get the same one
            while True:
                worker = self._idle.pop()
                if worker.process.poll() is None:
                    return worker
                worker.kill()
        return _Worker()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().kill()


class _Worker:
    """One process, from this side. Replies arrive through a thread, so that waiting for one can end in time anywhere."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(list(map(str, sys.path)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the caller, who ends the worker
        )
        self._replies: SimpleQueue[tuple[bytes, bytes] | None] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._next(START_LIMIT, "starting the worker process")
        except BaseException:
            self.kill()
            raise

    def run(self, payload: bytes, argument: bytes, limit: float) -> tuple[bytes, bool]:
        """The reply, and whether the process is as it was before."""
        assert self.process.stdin
        try:
            for frame in (_surroundings(), payload, argument):
                _send(self.process.stdin, b"c", frame)
        except OSError:
            raise WorkerError("crashed", f"The worker process {self._end()} before it got the call.") from None
        tag, text = self._next(START_LIMIT, "loading the tool in its process")
        if tag == b"o":
            raise _Outdated
        if tag == b"e":
            raise WorkerError("failed", f"The tool cannot be loaded in its process: {text.decode()}")
        tag, reply = self._next(limit, "the tool")
        return reply, tag == b"c"

    def _next(self, limit: float, doing: str) -> tuple[bytes, bytes]:
        try:
            frame = self._replies.get(timeout=limit)
        except Empty:
            raise WorkerError("timed_out", f"It was stopped: {doing} took longer than {limit:g} s.") from None
        if frame is None:
            raise WorkerError("crashed", f"The process of the tool {self._end()} before there was a result.")
        return frame

    def _end(self) -> str:
        """How the process ended, in words."""
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code >= 0:
            return f"ended with exit code {code}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as stream:
            while (frame := _receive(stream)) is not None:
                self._replies.put(frame)
        self._replies.put(None)

    def kill(self) -> None:
        """End the process and everything it started."""
        _kill_tree(self.process.pid)
        if hasattr(os, "killpg"):  # where it died by itself, its children are nobody's any more, but still of its group
            with suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin
        with suppress(OSError):  # what is left in its buffer has nowhere to go
            self.process.stdin.close()


def _kill_tree(pid: int) -> None:
    """Kill a process and everything that came from it."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        root.suspend()
        _kill_children(root)
    with suppress(psutil.Error):
        psutil.Process(pid).kill()


def _kill_children(root: psutil.Process) -> None:
    """Kill all descendants. They are held still first, so that none can start another while we look."""
    seen: set[psutil.Process] = set()
    while fresh := set(root.children(recursive=True)) - seen:
        seen |= fresh
        for child in fresh:
            with suppress(psutil.Error):
                child.suspend()
    for child in seen:
        with suppress(psutil.Error):
            child.kill()


def _surroundings() -> bytes:
    """Where the caller is: a worker works there, whatever the call before it changed."""
    return json.dumps({"directory": os.getcwd(), "path": list(map(str, sys.path)), "environment": dict(os.environ)}).encode()


def _send(stream: IO[bytes], tag: bytes, body: bytes) -> None:
    stream.write(_FRAME.pack(tag, len(body)))
    stream.write(body)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[bytes, bytes] | None:
    """The next frame, or None at the end of the stream."""
    head = stream.read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    tag, length = _FRAME.unpack(head)
    if length > _LONGEST:  # somebody else wrote into the stream
        return None
    body = stream.read(length)
    return (tag, body) if len(body) == length else None


# ---- inside the worker process -------------------------------------------------------------------------------------


def serve() -> None:
    """Answer calls until the caller is gone. What the work prints goes nowhere, and it has nothing to read."""
    inlet, outlet = _take_over_streams()
    if sys.platform == "linux":  # children of children stay ours when their parents end, and can be found
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    calls: SimpleQueue[tuple[bytes, bytes, bytes]] = SimpleQueue()
    threading.Thread(target=_listen_for_calls, args=(inlet, calls), daemon=True).start()
    threads = threading.active_count()
    loaded: dict[bytes, Callable[[bytes], bytes]] = {}
    written: dict[str, int] = {}
    imported = 0
    _send(outlet, b"r", b"")
    while True:
        surroundings, payload, argument = calls.get()
        if any(_written(path) != then for path, then in written.items()):
            _send(outlet, b"o", b"")
            continue
        try:
            _settle_in(surroundings)
            if payload not in loaded:
                loaded = {payload: cloudpickle.loads(payload), **dict(list(loaded.items())[:63])}
        except BaseException as error:
            _send(outlet, b"e", f"{type(error).__name__}: {error}".encode(errors="replace"))
            continue
        _send(outlet, b"l", b"")
        reply = loaded[payload](argument)
        if len(sys.modules) != imported:
            imported, written = len(sys.modules), {**_own_files(), **written}
        _send(outlet, b"d" if threading.active_count() > threads or _has_children() else b"c", reply)


def _take_over_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The pipes to the caller, out of the way of `print` and `input`, and of children that are forked."""
    inlet, outlet = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    if hasattr(os, "register_at_fork"):
        for stream in (inlet, outlet):
            os.register_at_fork(after_in_child=partial(os.close, stream))
    return os.fdopen(inlet, "rb"), os.fdopen(outlet, "wb")


def _listen_for_calls(inlet: IO[bytes], calls: SimpleQueue[tuple[bytes, bytes, bytes]]) -> None:
    """A thread, so that the end of the caller ends the worker in the middle of its work, too."""
    while True:
        frames = [_receive(inlet) for _ in range(3)]
        if None in frames:
            break
        first, second, third = (frame[1] for frame in frames if frame)
        calls.put((first, second, third))
    _kill_children(psutil.Process())
    os._exit(1)


def _settle_in(surroundings: bytes) -> None:
    wanted = json.loads(surroundings)
    with suppress(OSError):
        os.chdir(wanted["directory"])
    sys.path[:] = wanted["path"]
    if dict(os.environ) != wanted["environment"]:
        os.environ.clear()
        os.environ.update(wanted["environment"])


def _own_files() -> dict[str, int]:
    """The files of the imported modules that somebody may be at work on, and when they were written."""
    paths = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    return {path: _written(path) for path in paths if path and not path.startswith(_LIBRARIES)}


def _written(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _has_children() -> bool:
    if not hasattr(os, "waitpid") or sys.platform == "win32":
        return bool(psutil.Process().children())
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:  # those that have ended are done with
            pass
        return True
    return False


_POOL = _Pool()
atexit.register(_POOL.close)


def _forget_workers() -> None:
    """In a forked copy of the caller: its workers stay the original's."""
    global _POOL
    _POOL = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
