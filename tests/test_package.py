"""Importing the package is cheap, and its public names exist."""

import subprocess
import sys

import fcutils


def test_import_loads_neither_torch_nor_pydantic_nor_jupyter():
    code = (
        "import sys, fcutils; print([m for m in ('torch', 'transformers', 'pydantic', 'IPython', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    assert all(getattr(fcutils, name) is not None for name in fcutils.__all__)
