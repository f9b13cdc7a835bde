"""worker.py: work that outstays its welcome is really ended, and what came from it, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cloudpickle
import psutil
import pytest

from fcutils import worker
from fcutils.worker import WorkerError

AMPLE = 60.0  # seconds: for work that is expected to end by itself, on a busy machine
BRIEF = 0.3  # for work that is not
SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


def run(function: Callable[[bytes], bytes], argument: bytes | str = b"", limit: float = AMPLE) -> bytes:
    return worker.run(cloudpickle.dumps(function), argument if isinstance(argument, bytes) else argument.encode(), limit)


def pid(_: bytes = b"") -> bytes:
    return str(os.getpid()).encode()


def gone(number: bytes | int) -> bool:
    """Whether a process has ended, or does so presently: a killed one is buried by its parent in its own time."""
    patience = time.monotonic() + AMPLE
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(number))
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > patience:
                return False
            time.sleep(0.01)
    return True


def test_a_path_among_the_places_of_modules_is_no_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    sys.path.insert(0, tmp_path)  # type: ignore[arg-type]  # as notebooks do it
    assert run(lambda data: data, "abc") == b"abc"


def test_it_answers_and_stays_warm() -> None:
    assert run(lambda data: data[::-1], "abc") == b"cba"
    assert run(pid) == run(pid) != str(os.getpid()).encode()


def test_a_function_travels_as_it_is_when_called() -> None:
    state = {"n": 1}
    function = lambda _: str(state["n"]).encode()  # noqa: E731
    assert run(function) == b"1"
    state["n"] = 2
    assert run(function) == b"2"


def test_a_function_of_a_module_is_as_the_file_is_when_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As for somebody who edits tools.py beside a notebook that reloads it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_mine.py").write_text("WORD = b'one'\n")
    (tmp_path / "tools_of_mine.py").write_text("def say(_):\n    from helper_of_mine import WORD\n    return WORD\n")
    import tools_of_mine  # type: ignore[import-not-found]

    assert run(tools_of_mine.say) == b"one"
    warm = run(pid)
    assert run(tools_of_mine.say) == b"one" and run(pid) == warm
    (tmp_path / "helper_of_mine.py").write_text("WORD = b'two, and longer'\n")
    assert run(tools_of_mine.say) == b"two, and longer"
    assert run(pid) != warm and gone(warm)
    assert run(pid) == run(pid)


def test_large_arguments_and_replies() -> None:
    big = os.urandom(20_000_000)
    assert run(lambda data: data, big) == big


def test_what_it_prints_goes_nowhere_and_there_is_nothing_to_read() -> None:
    def noisy(_: bytes) -> bytes:
        for _line in range(100):
            print("x" * 1_000_000)
            print("x", file=sys.stderr)
        subprocess.run([sys.executable, "-c", "print('y' * 100000)"], check=True)
        return b"<" + sys.stdin.read().encode() + b">"

    assert run(noisy) == b"<>"


def test_it_works_where_the_caller_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def where(_: bytes) -> bytes:
        found = os.getcwd() + os.environ.get("FCUTILS_TEST", "") + sys.path[0]
        os.chdir(Path(os.sep))  # and what one call changes is not seen by the next
        os.environ["FCUTILS_TEST"] = "changed"
        sys.path[:0] = ["changed"]
        return found.encode()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FCUTILS_TEST", "here")
    monkeypatch.syspath_prepend(str(tmp_path))
    here = (os.getcwd() + "here" + str(tmp_path)).encode()
    assert run(where) == here
    assert run(where) == here


def test_a_module_that_only_the_caller_can_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pid)  # the worker is older than the path
    (tmp_path / "found_late.py").write_text("def shout(data):\n    return data.upper()\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    import found_late  # type: ignore[import-not-found]

    assert run(found_late.shout, "abc") == b"ABC"


# ---- ends ------------------------------------------------------------------------------------------------------


def hang_in_python(path: bytes) -> bytes:
    Path(path.decode()).write_bytes(pid())
    while True:
        with suppress(BaseException):  # nothing that can be caught ends it
            time.sleep(1000)


def hang_in_c(path: bytes) -> bytes:
    Path(path.decode()).write_bytes(pid())
    return str(9**9**9).encode()  # holds the interpreter all the time


@pytest.mark.parametrize("hang", [hang_in_python, hang_in_c])
def test_the_limit_ends_it(hang: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"took longer than 0\.3 s") as caught:
        run(hang, str(tmp_path / "pid"), BRIEF)
    assert caught.value.kind == "timed_out"
    assert gone((tmp_path / "pid").read_bytes())
    assert run(lambda data: data, "still here") == b"still here"


def test_the_limit_ends_children(tmp_path: Path) -> None:
    def wait(path: bytes) -> bytes:
        child = subprocess.Popen(SLEEPER, start_new_session=True)
        Path(path.decode()).write_text(str(child.pid), encoding="utf-8")
        return str(child.wait()).encode()

    with pytest.raises(WorkerError, match="took longer"):
        run(wait, str(tmp_path / "pid"), 2.0)
    assert gone((tmp_path / "pid").read_bytes())


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_is_a_crash(code: int) -> None:
    with pytest.raises(WorkerError, match=f"exit code {code}") as caught:
        run(lambda _: os._exit(code))
    assert caught.value.kind == "crashed"


def test_children_of_one_that_crashed_end_too(tmp_path: Path) -> None:
    def crash(path: bytes) -> bytes:
        Path(path.decode()).write_text(str(subprocess.Popen(SLEEPER).pid), encoding="utf-8")
        os._exit(1)

    with pytest.raises(WorkerError, match="exit code 1"):
        run(crash, str(tmp_path / "pid"))
    assert gone((tmp_path / "pid").read_bytes())


def test_closing_everything_is_a_crash() -> None:
    def shut(_: bytes) -> bytes:
        os.closerange(0, 256)
        return b"lost"

    with pytest.raises(WorkerError) as caught:
        run(shut)
    assert caught.value.kind == "crashed"


def test_writing_into_every_open_file_harms_the_worker_alone() -> None:
    def scribble(_: bytes) -> bytes:
        for stream in range(3, 64):
            try:
                os.write(stream, b"\xff" * 64)
            except OSError:
                continue
        return b"lost"

    with pytest.raises(WorkerError) as caught:
        run(scribble, limit=5.0)
    assert caught.value.kind in ("crashed", "timed_out")
    assert run(lambda data: data, "still here") == b"still here"


def test_what_cannot_be_loaded_says_why() -> None:
    with pytest.raises(WorkerError, match="UnpicklingError") as caught:
        worker.run(b"garbage", b"", AMPLE)
    assert caught.value.kind == "failed"


def test_a_thread_left_behind_ends_with_its_worker() -> None:
    def leave(_: bytes) -> bytes:
        threading.Thread(target=time.sleep, args=(600,)).start()
        return pid()

    first = run(leave)
    assert gone(first)
    assert run(pid) != first


def test_children_left_behind_end_with_their_worker() -> None:
    def leave(_: bytes) -> bytes:
        code = f"import subprocess, time; print(subprocess.Popen({SLEEPER}).pid, flush=True); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        assert child.stdout
        return f"{os.getpid()} {child.pid} ".encode() + child.stdout.readline()

    pids = run(leave).split()
    assert len(pids) == 3
    assert all(gone(number) for number in pids)


def test_a_child_that_has_ended_is_nothing_left_behind() -> None:
    def tidy(_: bytes) -> bytes:
        subprocess.run([sys.executable, "-c", ""], check=True)
        return pid()

    assert run(tidy) == run(pid)


def test_side_by_side(tmp_path: Path) -> None:
    """Each waits for the other: they can only end together."""

    def meet(argument: bytes) -> bytes:
        mine, other = map(Path, argument.decode().split("|"))
        mine.touch()
        while not other.exists():
            time.sleep(0.005)
        return b"met"

    a, b = tmp_path / "a", tmp_path / "b"
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda paths: run(meet, paths), [f"{a}|{b}", f"{b}|{a}"])) == [b"met", b"met"]


CALLER = """
import os, pathlib, sys, threading, time
import cloudpickle
from fcutils import worker

def hang(path):
    pathlib.Path(path.decode()).write_text(str(os.getpid()))
    time.sleep(600)

threading.Thread(target=worker.run, args=(cloudpickle.dumps(hang), sys.argv[1].encode(), 600.0), daemon=True).start()
while not (pathlib.Path(sys.argv[1]).exists() and pathlib.Path(sys.argv[1]).read_text()):
    time.sleep(0.01)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_a_worker_does_not_outlive_its_caller(how: str, tmp_path: Path) -> None:
    """From a script without a main guard, read from standard input: nothing of it is imported by the worker."""
    path = tmp_path / "pid"
    subprocess.run([sys.executable, "-", str(path), how], input=CALLER.encode(), timeout=AMPLE)
    assert gone(path.read_bytes())


if hasattr(os, "fork"):

    def test_a_fork_of_the_caller_gets_workers_of_its_own() -> None:
        mine = run(pid)
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                os.write(writer, run(pid))
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            theirs = pipe.read()
        os.wait()
        assert theirs
        assert theirs != mine
        assert run(pid) == mine

    def test_a_forked_copy_does_not_hold_up_the_end(tmp_path: Path) -> None:
        """It has the pipe to the caller, too: without care, the caller would wait for both to end."""

        def crash(path: bytes) -> bytes:
            child = os.fork()
            if child == 0:
                time.sleep(600)
            Path(path.decode()).write_text(str(child), encoding="utf-8")
            os._exit(1)

        with pytest.raises(WorkerError, match="exit code 1"):
            run(crash, str(tmp_path / "pid"))
        assert gone((tmp_path / "pid").read_bytes())

    def test_ctrl_c_gets_through_and_ends_the_work(tmp_path: Path) -> None:
        path = tmp_path / "pid"

        def interrupt() -> None:
            while not (path.exists() and path.read_bytes()):
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run(hang_in_python, str(path))
        assert gone(path.read_bytes())

    def test_a_signal_is_named() -> None:
        with pytest.raises(WorkerError, match="SIGSEGV"):
            run(lambda _: os.kill(os.getpid(), signal.SIGSEGV))  # type: ignore[func-returns-value]


if sys.platform == "linux":  # elsewhere, who leaves the family cannot be found

    def test_a_process_that_forked_itself_away_ends_too() -> None:
        def daemon(_: bytes) -> bytes:
            reader, writer = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.write(writer, pid())
                    time.sleep(600)
                os._exit(0)
            return os.read(reader, 100)

        assert gone(run(daemon))
