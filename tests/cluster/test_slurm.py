"""The batch script for Slurm, with stand-ins for `srun` and `scontrol`: two jobs on one node."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SRUN = """#!/bin/bash
echo "$@" >> srun.txt
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""

DRIVER = """
import sys, time
from pathlib import Path
import ray
ray.init(address=sys.argv[-1], log_to_driver=False, logging_level="ERROR")
Path("cpus.txt").write_text(str(ray.cluster_resources()["CPU"]))
while len(list(Path("..").glob("*/cpus.txt"))) < 2:  # the other job's Ray is up as well
    time.sleep(0.2)
print(len(ray.nodes()), ray.get(ray.remote(lambda: "ran").remote()), *sys.argv[1:-1])
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two jobs of different numbers that have CPUs of the node, each in a folder of its own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"srun": SRUN, "scontrol": "#!/bin/sh\nhostname\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    started = []
    # Of its own, as Ray notes there where it was last started; short, as sockets lie in it.
    scratch = tempfile.mkdtemp(dir="/tmp", prefix="jobs")
    for number, cpus in ((4101, 2), (4102, 3)):
        folder = tmp_path / "jobs" / str(number)
        folder.mkdir(parents=True)
        (folder / "driver.py").write_text(DRIVER)
        slurm = {"SLURM_JOB_ID": str(number), "SLURM_JOB_NODELIST": "node", "SLURM_NNODES": "1"}
        given = slurm | {"SLURM_CPUS_PER_TASK": str(cpus), "KOLEO_PYTHON": sys.executable, "RAY_TMPDIR": scratch}
        started.append(
            subprocess.Popen(
                ["bash", str(ROOT / "cluster" / "slurm.sh"), "driver.py", "--preset", "quick"],
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **given},
            )
        )
    yield started
    for job in started:  # as Slurm ends what a job leaves
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM)
        job.wait(60)
    shutil.rmtree(scratch, ignore_errors=True)  # Ray may still be writing its last lines


@pytest.mark.ray
def test_two_jobs_share_a_node_and_each_has_the_cpus_that_slurm_gave_it(
    jobs: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    for job in jobs:
        out, _ = job.communicate(timeout=300)
        assert job.returncode == 0
        assert out.splitlines()[-1] == "1 ran --preset quick --address"
    cpus = {folder.name: (folder / "cpus.txt").read_text() for folder in (tmp_path / "jobs").iterdir()}
    assert cpus == {"4101": "2.0", "4102": "3.0"}
    for folder in (tmp_path / "jobs").iterdir():
        assert "--cpus-per-task=" in (folder / "srun.txt").read_text()
