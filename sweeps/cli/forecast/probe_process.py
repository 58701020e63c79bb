"""A process that trains a little, as a trial's process would, and says what that took; `rates` starts as many at once
as trials will run at once. One JSON object a line: a configuration comes in, seconds go out."""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.samplers import images_per_epoch
from embedding_core.evaluation.feature_sets import missing_features
from embedding_core.plugins.sources import Source, use
from embedding_core.storage.result_tables import Row
from embedding_core.train import pick_device, train
from embedding_core.training.precision import pick_precision

RAY_NICENESS = int(os.environ.get("RAY_worker_niceness", "15"))  # noqa: SIM112 (Ray's spelling)
"""Ray's processes give way to whatever else runs on the machine, so a trial gets what is left."""

WARM_UP = 1
"""Epochs that count for nothing: kernels are chosen in the first."""


def main() -> int:
    """Answer until there is nothing more to do."""
    os.nice(RAY_NICENESS)
    data: DeviceData | None = None
    for line in sys.stdin:
        job = json.loads(line)
        use([Source(**source) for source in job["plugins"]])
        config = TrainConfig.from_flat(job["config"])
        device = pick_device(config.device)
        if data is None or not data.serves(config, device):
            data = DeviceData.load(config, device)
        answer = measured(config, data, job["seconds"]) if job["seconds"] is not None else {}
        answer["host_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps(answer), flush=True)
    return 0


def measured(config: TrainConfig, data: DeviceData, seconds: float) -> dict[str, Any]:
    """What parts of a run take.

    Args:
        config: whose `epochs` are the most that are run.
        data: its images, on its device.
        seconds: after which no further epoch is begun, if one that is no warm-up has ended.

    Returns:
        `setup_s` (from the call to the first step), and means of an epoch's `images_per_s` and `validation_s`;
        `checkpoint_s` of each one written; `held_out_s` of a run with `eval_test`; `gpu_bytes` at the peak.
    """
    for features in missing_features(config, data, precision=pick_precision(config.precision, data.device)):
        features.stand_in()  # a plan computes none of them
    rows: list[Row] = []
    saving_s = [0.0]  # by row

    def saving(write: Callable[[], None]) -> None:
        began = time.perf_counter()
        write()
        saving_s[-1] += time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        arrived = [started]
        for row in train(config, save_to=Path(folder) / "run.pt", save_every_s=0, saving=saving, data=data):
            rows.append(row)
            arrived.append(time.perf_counter())
            saving_s.append(0.0)
            if len(rows) > WARM_UP and arrived[-1] - arrived[WARM_UP] >= seconds:
                break
    return _parts(rows, arrived, saving_s[: len(rows)], images_per_epoch(config, data.split(config)))


def _parts(rows: list[Row], arrived: list[float], saving_s: list[float], images: int) -> dict[str, Any]:
    """See `measured`. `arrived`: when it began, and when each row came. `saving_s`: of what was written before each."""
    elapsed = [0.0, *(float(row["elapsed_s"]) for row in rows)]
    loops = [after - before for before, after in pairwise(elapsed)]
    # What is beside the loop's own clock: before the first epoch setting up, after the last one the held-out images.
    beside = [b - a - loop - saving for a, b, loop, saving in zip(arrived, arrived[1:], loops, saving_s, strict=False)]
    warm = slice(WARM_UP, None) if len(rows) > WARM_UP else slice(None)
    train_s = [float(row["train_s"]) for row in rows]
    held_out = rows[-1]["end_reason"] == "completed" and "test_sha256" in rows[-1]
    return {
        "setup_s": max(0.0, beside[0]),
        "images_per_s": images * len(train_s[warm]) / sum(train_s[warm]),
        "validation_s": sum(loop - t for loop, t in zip(loops[warm], train_s[warm], strict=True)) / len(loops[warm]),
        "checkpoint_s": sum(saving_s) / len(saving_s),
        "held_out_s": beside[-1] if held_out else 0.0,
        "gpu_bytes": max((int(row["peak_gpu_bytes"] or 0) for row in rows), default=0),
    }


if __name__ == "__main__":
    sys.exit(main())
