"""The README's blocks run as they stand, in an empty folder, by the interpreter that TALLYGATE_README_PYTHON names: in
CI that of an environment that has the built package and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import readme
from live import Server, World


def test_the_readme_runs(server: Server, tmp_path: Path) -> None:
    world = World(server)
    operator = world.operator
    operator.job_types.define(
        "text.stats",
        price={"base": "0.01", "units": {"page": {"price": "0.002", "max": 100}}},
        executor={"kind": "pull"},
    )
    interpreter = os.environ.get("TALLYGATE_README_PYTHON")
    environment = {**world.environment(world.client_key), "TALLYGATE_WORKER_KEY": world.worker_key}
    if interpreter:
        del environment["PYTHONPATH"]
    command = [interpreter or sys.executable, "-W", "error"]
    *scripts, worker = sorted(readme.write(tmp_path), key=lambda path: path.name)
    assert worker.name == "worker.py"
    assert len(scripts) == 5
    with subprocess.Popen([*command, worker], cwd=tmp_path, env=environment) as working:
        try:
            printed = {
                script.name: subprocess.run(
                    [*command, script],
                    cwd=tmp_path,
                    env=environment,
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                    timeout=120,
                ).stdout
                for script in scripts
            }
        finally:
            working.terminate()
        assert working.wait(60) == 0
    assert printed["block1.py"].startswith("3\n")
    assert "succeeded 0.012 USD" in printed["block1.py"]
    assert printed["block2.py"].startswith("10\n")
    assert "job.succeeded" in printed["block2.py"]
    assert printed["block3.py"] == "the job failed: the text is empty\n"
    world.close()
