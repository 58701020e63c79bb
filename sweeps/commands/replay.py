"""`koleo-sweeps replay TRIAL_ID`: one trial again, without Ray, and whether it gives the stored rows."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults, unknown
from embedding_core.plugins.sources import use_named
from embedding_core.storage.result_tables import Row
from embedding_core.streams import answer
from embedding_core.wording import plural
from sweeps.commands.parser import CommandParser, sweep_folder
from sweeps.engine.records.provenance import Provenance
from sweeps.results import files, frozen, store
from sweeps.results.latest import followed
from sweeps.results.rows import cast
from sweeps.results.schema import CURVES

TIMING: Final = ("elapsed_s", "train_s")
IDS: Final = ("trial_id", "attempt", "stage")
COMPARED: Final = tuple(name for name in CURVES.names if name not in (*TIMING, *IDS))
"""Columns of `curves` that the same configuration repeats on the same machine."""

EXPECTED: Final = ("data_sha256", "split_sha256", "device_name", "precision_used")
"""Columns of `trials` that must be the same for the rows to be."""

DIFFERS: Final = 1
"""Exit code where the rows are not the stored ones."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One column at the first epoch at which anything differs."""

    epoch: int
    column: str
    stored: Any
    now: Any

    def __str__(self) -> str:
        """One line; with the distance between numbers."""
        line = f"epoch {self.epoch}, {self.column}: stored {self.stored}, now {self.now}"
        numbers = all(isinstance(value, (int, float)) for value in (self.stored, self.now))
        return line + (f", {abs(self.now - self.stored):.3g} apart" if numbers else "")


def stored_trial(folder: Path, trial_id: str, stage: str | None) -> dict[str, Any]:
    """The final row of a trial.

    Raises:
        Faults: no such trial has ended, several stages have one, or it ended before its first epoch did.
    """
    rows = store.read(folder, "trials", stage=stage).to_pylist()
    own = [row for row in rows if row["trial_id"] == trial_id]
    if not own:
        raise Faults([unknown("ended trial", trial_id, sorted({row["trial_id"] for row in rows}))])
    if len(own) > 1:
        stages = ", ".join(row["stage"] for row in own)
        raise Faults([f"`{trial_id}` names a trial in each of the stages {stages}: choose one with `--stage`."])
    if not own[0]["last_epoch"]:
        raise Faults([f"`{trial_id}` ended ({own[0]['end_reason']}) before its first epoch did: nothing to compare."])
    return dict(own[0])


def replay(trial: Row, data_root: str | None) -> list[Row]:
    """The rows of `embedding_core.train` up to the trial's last epoch, with as many threads as it had.

    Args:
        trial: row of `trials`.
        data_root: folder of the data sets; None: where they were.

    Raises:
        Faults: the configuration, its data or its device do not exist here.
    """
    import torch  # seconds, which neither help nor a trial that does not exist needs

    from embedding_core.train import pick_device, train

    settings = json.loads(trial["config_json"])
    config = TrainConfig.from_flat({**settings, "data_root": data_root or trial["data_root"]})
    pick_device(config.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(trial["cpu_threads"] or threads)
    try:
        return list(islice(train(config), trial["last_epoch"]))
    finally:
        torch.set_num_threads(threads)


def differences(stored: Sequence[Row], now: Sequence[Row]) -> list[Difference]:
    """What differs at the first epoch at which anything does; empty if the rows are equal.

    Args:
        stored: rows of `curves` by ascending epoch.
        now: likewise; a missing epoch differs in `epoch`.
    """
    ours, theirs = ({row["epoch"]: row for row in rows} for rows in (now, stored))
    for epoch in sorted({*ours, *theirs}):
        if epoch not in ours or epoch not in theirs:
            return [Difference(epoch, "epoch", epoch if epoch in theirs else None, epoch if epoch in ours else None)]
        pairs = ((name, theirs[epoch][name], ours[epoch][name]) for name in COMPARED)
        found = [Difference(epoch, name, was, value) for name, was, value in pairs if was != value]
        if found:
            return found
    return []


def compared(folder: Path, trial: Row, rows: Sequence[Row]) -> list[Difference]:
    """The replayed rows against those in the store."""
    curves = store.read(folder, "curves", stage=trial["stage"])
    stored = curves.filter(pc.equal(curves["trial_id"], trial["trial_id"])).to_pylist()
    ids = {"trial_id": trial["trial_id"], "attempt": trial["attempt"]}
    known = [{name: value for name, value in row.items() if name in CURVES.names} | ids for row in rows]
    return differences(stored, cast("curves", known).to_pylist())


def conditions(trial: Row, rows: Sequence[Row]) -> list[str]:
    """What differs between then and now apart from the rows: packages, commit, data, device."""
    here = Provenance.here()
    then, now = json.loads(trial["versions"]), json.loads(here.versions)
    pairs = [(name, then.get(name), now.get(name)) for name in sorted({*then, *now})]
    pairs.append(("commit", trial["git_sha"], here.git_sha))
    pairs += [(name, trial[name], rows[-1][name]) for name in EXPECTED]
    return [f"{name}: {was} then, {value} now" for name, was, value in pairs if was != value]


def latest_sweep(results: Path) -> Path:
    """The sweep below `results` that was started last.

    Raises:
        Faults: there is none.
    """
    plans = [path for path in results.glob(f"*/{frozen.FILE}") if files.holds_sweep(path.parent)]
    if not plans:
        raise Faults([f"No sweep in {results}: name one."])
    return followed(max(plans, key=lambda path: path.stat().st_mtime).parent)


def main(argv: Sequence[str] | None = None) -> int:
    """Train a trial again and say whether its rows are the stored ones."""
    parser = CommandParser(
        "replay",
        "Trains one trial again from its stored configuration, without Ray and with as many threads as it had, and\n"
        "compares its rows with the stored ones. Where they differ it names the first columns that do, and what else\n"
        "differs: versions, commit, data, device. Another machine or another torch may well give other rows.",
        examples={
            "t00012": "of the latest sweep in results/",
            "results/NAME t00012 --stage confirm": "of this sweep, where several stages have that trial",
        },
        exit_codes={0: "all rows are equal to the stored ones", DIFFERS: "a row differs"},
    )
    parser.add_argument("folder", nargs="?", type=sweep_folder, metavar="RESULTS/NAME", help="the latest in results")
    parser.add_argument("trial_id", metavar="TRIAL_ID", help="such as t00012")
    parser.add_argument("--stage", help="search, tune or confirm, where several have this trial")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE|MODULE",
        help="of the sweep, if it had any: RESULTS/NAME/plugins has copies, which are not run unless they are named",
    )  # fmt: skip
    parser.add_argument("--data-root", metavar="DIR", help="folder of the data sets; where they were")
    return parser.run(_replay, argv)


def _replay(arguments: argparse.Namespace) -> int:
    folder = arguments.folder or latest_sweep(Path("results"))
    trial = stored_trial(folder, arguments.trial_id, arguments.stage)
    use_named(arguments.plugin)
    rows = replay(trial, arguments.data_root)
    found = compared(folder, trial, rows)
    name = f"{folder}, {trial['stage']} {trial['trial_id']} ({trial['end_reason']})"
    verdict = "differs from the stored rows" if found else f"{plural(len(rows), 'epoch')}, all equal to the stored rows"
    answer("\n  ".join([f"{name}: {verdict}", *map(str, found), *conditions(trial, rows)]))
    return DIFFERS if found else 0


if __name__ == "__main__":
    sys.exit(main())
