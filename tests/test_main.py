"""__main__.py: the table of commands."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from fcutils.__main__ import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        assert main(arguments) == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in COMMANDS)


def test_an_unknown_command_is_named_beside_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluat"]) == 2
    shown = capsys.readouterr().err
    assert "no command 'evaluat'" in shown and "evaluate" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    module, _, function = COMMANDS[name][0].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", ["evaluate", "compare"])
def test_a_command_with_options_can_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"python -m fcutils {name}" in capsys.readouterr().out


def test_it_is_a_program() -> None:
    ran = subprocess.run([sys.executable, "-m", "fcutils"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "usage: python -m fcutils" in ran.stdout
