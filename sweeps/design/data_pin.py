"""What a sweep's data are, by content: pinned in `plan.json`, and held whenever the sweep goes on.

The files belong to the user, and may change between two starts: an image more, weights that were trained again. Runs on
both would be compared as if they had seen the same. (What trains and what validates differs by replicate, by design.)
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet
from embedding_core.models.pretrained import file_sha256
from embedding_core.wording import plural
from sweeps.design.plan import Plan
from sweeps.results import frozen, store

MOST_COUNTED: Final = 1000
"""Classes whose images the plan counts; of more it keeps the number."""

NAMED: Final = 5
"""Classes that a fault names at most."""

WHAT_TO_DO: Final = (
    "A sweep keeps the data that it began with: put them back as they were, or begin a sweep under another `--name`."
)


def pin_of(plan: Plan, data: DeviceData, weights: Iterable[str]) -> dict[str, Any]:
    """What is pinned: hash and counts of the training images and of a test file of its own, hashes of files of weights.

    Args:
        plan: a test file is read where it has the stage confirm.
        data: the data set.
        weights: `TrainConfig.weights` of the configurations that the sweep can reach.

    Raises:
        Faults: a file that cannot be read.
    """
    test = data.test_file() if "confirm" in plan.stages and data.test_file_size is not None else None
    train = ImageSet(data.images.cpu(), data.labels.cpu(), data.class_names)
    return {
        "train": {"sha256": data.sha256, **_counts(train), **_left_out(data.broken)},
        "test": test and {"sha256": test.sha256, **_counts(test), **_left_out(test.broken)},
        "weights": {name: sha256 for name in sorted({*weights}) if (sha256 := file_sha256(name))},
    }


def change_faults(plan: Plan, folder: Path, now: Mapping[str, Any], *, name: str) -> list[str]:
    """What has changed since the sweep in `folder` began; of a plan that pins nothing its rows tell.

    Args:
        plan: of the sweep.
        folder: of the sweep.
        now: see `pin_of`.
        name: of the data set, for the fault.
    """
    there = frozen.read(folder / frozen.FILE, needed_by="`--resume`").get(frozen.DATA) or _of_rows(plan, folder)
    changes = []
    for part, what in frozen.PARTS.items():
        old, new = there.get(part), now[part]
        if old and new and old["sha256"] != new["sha256"]:
            changes.append(f"the {what} ({_difference(old, new)})")
        elif part in there and bool(old) != bool(new):
            changes.append(f"the {what} ({'which were not there' if new else 'which are gone'})")
    for file, sha256 in now["weights"].items():
        old_sha256 = there.get("weights", {}).get(file, sha256)
        if old_sha256 != sha256:
            changes.append(f"the weights in {file} (sha256 {old_sha256[:12]}, now {sha256[:12]})")
    if not changes:
        return []
    return [f"Since {folder} began, {' and '.join(changes)} of `{name}` have changed. {WHAT_TO_DO}"]


def shared(plan: Plan) -> bool:
    """Whether all runs of a plan are on one data set at one image size, which is then what is pinned."""
    cells = (*plan.cells, *plan.design.arms)
    return not any({"dataset", "image_size"} & {*cell.settings, *cell.drop_in} for cell in cells)


def _of_rows(plan: Plan, folder: Path) -> dict[str, Any]:
    """The training images of an earlier start, if its rows agree on them and each is of the same set."""
    found = pc.unique(store.read(folder, "trials")["data_sha256"].drop_null()).to_pylist()
    return {"train": {"sha256": found[0]}} if len(found) == 1 and shared(plan) else {}


def _counts(images: ImageSet) -> dict[str, Any]:
    labels, sizes = images.labels.unique(return_counts=True)
    by_name = dict(zip(map(images.name_of, labels.tolist()), sizes.tolist(), strict=True))
    return {"images": len(images.labels), "classes": by_name if len(by_name) <= MOST_COUNTED else len(by_name)}


def _left_out(broken: tuple[str, ...]) -> dict[str, Any]:
    """Why each image that `--skip-broken` leaves out is none."""
    return {"broken": list(broken)} if broken else {}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """`13 images of owl, now 12`; or that the counts are the same."""
    then, now = old.get("classes"), new["classes"]
    hashes = f"sha256 {old['sha256'][:12]}, now {new['sha256'][:12]}"
    if not isinstance(then, dict) or not isinstance(now, dict):
        counts = [f"{plural(old['images'], 'image')}, now {new['images']:,}"] if "images" in old else []
    else:
        changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        counts = [
            f"{plural(then.get(name, 0), 'image')} of {name}, now {now.get(name, 0):,}" for name in changed[:NAMED]
        ]
        counts += [plural(len(changed) - NAMED, "more class")] if len(changed) > NAMED else []
        counts = counts or ["as many of each class, but other pixels"]
    return "; ".join([*counts, hashes])
