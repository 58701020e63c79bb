"""As many processes as trials will run at once, which train a little at the same time: so they slow each other down as
trials do."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from embedding_core.config.train_config import TrainConfig
from embedding_core.plugins.sources import in_use

MOST_PROCESSES = 16
"""More are not started to see how trials slow one another down."""


class ProbePool:
    """Trial-like processes that do the same at the same time."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    def run(self, config: TrainConfig, *, seconds: float | None) -> dict[str, float]:
        """Mean of what they say; None: only get ready."""
        plugins = [asdict(source) for source in in_use()]
        job = json.dumps({"config": config.to_flat(), "plugins": plugins, "seconds": seconds})
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(job + "\n")
            process.stdin.flush()
        answers = [json.loads(_line(process)) for process in self._processes]
        return {name: sum(answer[name] for answer in answers) / len(answers) for name in answers[0]}


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"A process that was to time a few training steps has ended with status {process.wait()}.")
    return line


@contextmanager
def probe_pool(number: int, cpus: float) -> Iterator[ProbePool]:
    """So many processes, with as many threads as Ray lets a trial have."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(max(1, math.floor(cpus))),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    command = [sys.executable, "-m", "sweeps.cli.forecast.probe_process"]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            )
            for _ in range(min(number, MOST_PROCESSES))
        ]
        try:
            yield ProbePool(started)
        except BaseException:
            for process in started:
                process.kill()
            raise
