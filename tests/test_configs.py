"""The launch files: accelerate reads them, and two processes learn what one does, each with the model or with half of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file

from fcutils.dataset import read_rows
from fcutils.finetune import Tuned, tune

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
ROWS = ROOT / "data" / "house" / "train.jsonl"
TYPES = {"two_cpu_processes": "MULTI_GPU", "ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero3": "DEEPSPEED"}


def test_every_launch_file_is_read_by_accelerate_and_told_of() -> None:
    found = {path.stem: load_config_from_file(str(path)) for path in CONFIGS.glob("*.yaml")}
    assert {name: str(config.distributed_type.value) for name, config in found.items()} == TYPES
    assert all(config.num_processes == 2 and config.num_machines == 1 for config in found.values())
    assert found["fsdp2"].fsdp_config["fsdp_version"] == 2
    assert found["zero3"].deepspeed_config["zero_stage"] == 3
    assert [name for name, config in found.items() if config.use_cpu] == ["two_cpu_processes"]
    page = (CONFIGS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.yaml`" in page for name in TYPES)


def test_accelerate_refuses_a_name_that_it_does_not_know(tmp_path: Path) -> None:
    """So that a launch file with a misspelt line cannot pass the test above."""
    text = (CONFIGS / "ddp.yaml").read_text(encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(text.replace("num_machines", "number_machines"))
    with pytest.raises(ValueError, match="number_machines"):
        load_config_from_file(str(tmp_path / "wrong.yaml"))


def launched(tmp_path: Path, launch_file: Path, *program: str) -> tuple[dict[str, Any], str]:
    """What two processes left in finetune.json, and what they said."""
    lines = ["base: hermes3", "full: false", f"rows: {ROWS}", f"folder: {tmp_path}/two", "limit: 8", "steps: 2", "batch: 2"]
    (tmp_path / "run.yaml").write_text("\n".join(lines))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(launch_file)]
    command = [*launch, *program, str(tmp_path / "run.yaml")]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    there = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((tmp_path / "two" / "adapter" / "finetune.json").read_text()), done.stdout


@pytest.fixture(scope="module")
def one() -> Tuned:
    return tune("hermes3", read_rows(ROWS)[:8], full=False, steps=2, batch=4)


def test_two_processes_learn_what_one_does(one: Tuned, tmp_path: Path) -> None:
    """The same four rows a step, two to each process: the loss is the mean over all learnt tokens, and so the same."""
    two, _ = launched(tmp_path, CONFIGS / "two_cpu_processes.yaml", "-m", "fcutils.finetune")
    assert (two["facts"]["processes"], one.facts["processes"]) == (2, 1)
    assert [entry["loss"] for entry in two["history"]] == pytest.approx(one.curve()[1], rel=0.01)


def test_a_model_cut_over_two_processes_learns_the_same_and_is_saved_whole(one: Tuned, tmp_path: Path) -> None:
    """FSDP2. It computes all in 16 bits where the processor can, so its loss is a little less like that of one process."""
    text = (CONFIGS / "fsdp2.yaml").read_text(encoding="utf-8")
    text = text.replace("use_cpu: false", "use_cpu: true\nmain_process_port: 0").replace("_precision: bf16", "_precision: 'no'")
    (tmp_path / "fsdp2.yaml").write_text(text)
    two, said = launched(tmp_path, tmp_path / "fsdp2.yaml", str(ROOT / "tests" / "as_if_gpus.py"))
    assert said.count("cut: True") == two["facts"]["processes"] == 2
    assert [entry["loss"] for entry in two["history"]] == pytest.approx(one.curve()[1], rel=0.02)
    mine, theirs = (
        load_file(folder / "adapter_model.safetensors") for folder in (one.save(tmp_path / "one"), tmp_path / "two" / "adapter")
    )
    assert {name: tensor.shape for name, tensor in mine.items()} == {name: tensor.shape for name, tensor in theirs.items()}
    assert all(theirs[name].float().dist(tensor.float()) < 0.5 * tensor.float().norm() for name, tensor in mine.items())
