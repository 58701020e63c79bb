"""Sweeps of one design as replicates of one: a folder such as one sweep with all their seeds would have filled.

Replicate r of `--seed s` is the sweep `--seed s+r-1` with one replicate, run for run: same points, splits, seeds and
proposals. So sweeps with `--seed 0`, 1, 2, 3 hold what one with `--seed 0 --replicates 4` does, and what is left is to
number replicates and trials as that one would. Trials get new ids, `study_id` and the hash of the merged plan; all else
in the tables stays as it is, times and command lines too.

A merge has the tables, the plan and the splits. The search, of which a sweep has one however many replicates follow, is
that of the lowest seed. Checkpoints, the weights in `best/` and the Optuna studies in `optuna.db` stay where they are:
no driver goes on with a merge.
"""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from embedding_core.errors import Faults
from sweeps.design.merged_plan import Source, differences, merged_content, new_id, replicates_of, shared_seeds
from sweeps.design.planned_counts import planned_trials
from sweeps.results import frozen, store
from sweeps.results.renumber import Place, copy_trials, trial_name
from sweeps.results.store import Store

SAME_DATA: Final = {"data_sha256": "training images", "test_sha256": "test images"}

NAMED: Final = 5
"""Trials that a fault names at most."""


def merge(folders: Sequence[Path], out: Path, *, planned: bool) -> Path:
    """Write the replicates of several sweeps, or merges, into a new folder, and return it.

    Args:
        folders: of the sweeps, in any order; they are not changed.
        out: folder to make, new or empty; it appears when it is whole.
        planned: whether all sweeps were planned before the report of any could be read. Else the merged plan says that
            they were looked at, and intervals allow for it.

    Raises:
        Faults: everything for which this is no merge: see `differences`, `shared_seeds`, `Source.read`; runs that have
            not ended, other images, a folder that is not empty.
        OSError: e.g. disk full; nothing is left behind.
    """
    sources, faults = _read(folders)
    if len(folders) < 2:
        faults.append(f"`--merge` takes two sweeps or more, but got {', '.join(map(str, folders))}.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        faults.append(f"`--merge` writes into a new folder, but {out} is there and not empty: give another name.")
    faults += [*differences(sources), *shared_seeds(sources)] if sources else []
    faults += [fault for source in sources for fault in _unfinished(source)]
    faults += _other_data(sources)
    if faults:
        raise Faults(faults)
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}-{uuid.uuid4().hex[:8]}")
    try:
        _fill(partial, sources, merged_content(sources, out.name, planned=planned))
        os.rename(partial, out)  # an empty folder of that name makes room, one that was filled meanwhile does not
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return out


def _read(folders: Iterable[Path]) -> tuple[list[Source], list[str]]:
    """Those that can be part of a merge, and the faults of the others."""
    sources: list[Source] = []
    faults: list[str] = []
    for folder in folders:
        try:
            sources.append(Source.read(folder))
        except Faults as error:
            faults += error.faults
    return sources, faults


def _unfinished(source: Source) -> Iterator[str]:
    """Planned runs that have not ended, or that are being run again, by stage."""
    for stage, planned in planned_trials(source.plan).items():
        ended = store.attempts(source.folder, stage=stage, table="trials")
        begun = store.attempts(source.folder, stage=stage)
        ids = [trial_name(number) for number in range(planned)]
        left = [trial_id for trial_id in ids if ended.get(trial_id, 0) < max(1, begun.get(trial_id, 0))]
        if left:
            named = ", ".join([*left[:NAMED], *(["..."] if len(left) > NAMED else [])])
            yield (
                f"{source.folder} is not finished: of the {planned} runs of the stage {stage}, {len(left)} have not "
                f"ended ({named}). End it with `--resume`, then merge."
            )
        foreign = sorted({*begun} - {*ids})
        if foreign:
            yield f"{source.folder} has {stage} rows of {', '.join(foreign[:NAMED])}, which its plan does not have."


def _other_data(sources: Sequence[Source]) -> Iterator[str]:
    """Images and weights that are not those of the first sweep."""
    hashes: dict[str, dict[str, list[str]]] = {column: {} for column in SAME_DATA}
    for source in sources:
        trials = store.read(source.folder, "trials")
        for column, known in hashes.items():
            for sha256 in pc.unique(trials[column].drop_null()).to_pylist():
                known.setdefault(sha256, []).append(str(source.folder))
    for column, known in hashes.items():
        if len(known) > 1:
            named = ", ".join(f"{sha256[:12]} in {' and '.join(names)}" for sha256, names in known.items())
            yield f"`{column}` is {named}: replicates are of the same {SAME_DATA[column]}."
    pins = [(str(source.folder), frozen.data_hashes(source.plan)) for source in sources]
    for what in dict.fromkeys(name for _, pin in pins for name in pin):
        if len({pin[what] for _, pin in pins if what in pin}) > 1:
            named = ", ".join(f"{pin[what][:12]} in {folder}" for folder, pin in pins if what in pin)
            yield f"The hash of the {what} is {named} in the plans: replicates are of the same."


def _fill(folder: Path, sources: Sequence[Source], content: dict[str, Any]) -> None:
    """Everything that a merge has, the plan last: a folder without one is taken for no sweep."""
    merged = Store.create(folder)
    for stage in content["stages"]:
        for source, places in _places(sources, content, stage):
            copy_trials(source.folder, merged, stage, places)
    for source in sources:
        for name in ("splits", frozen.PLUGINS):  # named by their hash; the same in all
            if (source.folder / name).is_dir():
                shutil.copytree(source.folder / name, folder / name, dirs_exist_ok=True)
    store.compact(folder)
    frozen.write(folder / frozen.FILE, content)


def _places(
    sources: Sequence[Source], content: dict[str, Any], stage: str
) -> Iterator[tuple[Source, dict[str, Place]]]:
    """Of the trials of a stage, replicate after replicate."""
    common = {"study_id": content["study_id"]}
    if stage == "confirm":
        common["plan_sha256"] = content[frozen.KEY]
    replicates = replicates_of(sources)
    if stage == "search":
        ids = [trial_name(number) for number in range(planned_trials(content)[stage])]
        yield replicates[0].source, {trial_id: Place(trial_id, {**common, "replicate": 1}) for trial_id in ids}
        return
    for place, replicate in enumerate(replicates):
        count = replicate.source.per_replicate(stage)
        ids = [trial_name((replicate.number - 1) * count + i) for i in range(count)]
        columns = {**common, "replicate": place + 1}
        yield replicate.source, {one: Place(new_id(one, replicate, place, stage), columns) for one in ids}
