"""The plan that several sweeps of one design have in common, with the replicates of all of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from embedding_core.errors import Faults
from sweeps.design.planned_counts import planned_trials
from sweeps.design.tuning import ETA, GRACE, SEARCHERS
from sweeps.results import files, frozen
from sweeps.results.renumber import trial_name

SEEDS: Final = "replicate_seeds"
"""Where the plan of a merge lists its replicates' seeds, if they do not count on from `seed`."""

MERGED_SHA256: Final = "merged_sha256"
"""Where it keeps the hashes of the plans it is made of, in the order of their names."""

FREE: Final = ("seed", "replicates", "data_root")
"""Options that sweeps may be run with differently and still be replicates of one."""

OWN: Final = ("study_id", "what", *FREE, "stages", "samples", "points", "blocks", "confirm", "tuner", "outcome",
              "nuisance", "tuned", frozen.KEY, frozen.DATA, frozen.GUESSED, frozen.EXTENDED, frozen.MERGED,
              frozen.LOOKED, SEEDS, MERGED_SHA256)  # fmt: skip
"""Keys of a plan that are compared as options, or that differ from sweep to sweep."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sweep whose replicates are wanted."""

    folder: Path
    plan: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Source":
        """A sweep as its folder has it.

        Raises:
            Faults: no sweep there, no readable plan, one that was changed after it was frozen, or that of a sweep
                which cannot be part of a merge.
        """
        files.check_sweep(folder)
        plan = frozen.read(folder / frozen.FILE, needed_by="`--merge`")
        fault = frozen.fault_of(plan) or _unfit(plan)
        if fault is not None:
            raise Faults([f"{folder}: {fault}"])
        return cls(folder, plan)

    @property
    def seeds(self) -> list[int]:
        """Of its replicates, in their order."""
        first = int(self.plan["seed"])
        return list(self.plan.get(SEEDS, range(first, first + int(self.plan["replicates"]))))

    @property
    def options(self) -> dict[str, Any]:
        """What it was run with, what its preset filled in included, but for `FREE`."""
        base = self.plan["base"]
        asked = {name: value for name, value in self.plan["what"].items() if name not in {*FREE, *base}}
        settled = {name: self.plan[name] for name in ("samples", "points", "blocks", "confirm", "tuner")}
        named = {"stages": ",".join(self.plan["stages"]), "outcome": self.plan["outcome"]["name"]}
        default = {"controls": False, "exempt": 0.0, "searcher": SEARCHERS[0], "eta": ETA, "grace": GRACE}
        return {**default, **base, **asked, **settled, **named}

    def per_replicate(self, stage: str) -> int:
        """Runs of each replicate in `tune` or `confirm`."""
        return planned_trials(self.plan)[stage] // int(self.plan["replicates"])


@dataclass(frozen=True, slots=True)
class Replicate:
    """One replicate of a merge, and where it comes from."""

    seed: int
    source: Source
    number: int
    """In its source, from 1."""


def replicates_of(sources: Sequence[Source]) -> list[Replicate]:
    """All replicates, in the order of their seeds: that in which one sweep would have run them."""
    found = [Replicate(seed, source, i) for source in sources for i, seed in enumerate(source.seeds, start=1)]
    return sorted(found, key=lambda replicate: replicate.seed)


def differences(sources: Sequence[Source]) -> Iterator[str]:
    """Everything for which these are not replicates of one sweep, as far as their plans say."""
    if len({(source.plan["design"], source.plan["design_sha256"]) for source in sources}) > 1:
        named = _by_folder(sources, [f"{s.plan['design']} ({s.plan['design_sha256'][:12]})" for s in sources])
        yield f"Replicates are of one design, but it is {named}: `koleo-sweeps compare` lays two sweeps side by side."
        return
    unlike = list(_unlike(sources, [source.options for source in sources]))
    yield from (f"{text}: replicates of one sweep differ by their seeds alone." for text in unlike)
    if not unlike:
        rest = [
            {name: _without_paths(value) for name, value in source.plan.items() if name not in OWN}
            for source in sources
        ]
        yield from (f"{text}: other code has planned it." for text in _unlike(sources, rest))


def _without_paths(value: Any) -> Any:
    """Where a plug-in lay on the machine that a sweep was started on says nothing of what it is."""
    if isinstance(value, list) and all(isinstance(each, dict) and "path" in each for each in value):
        return [{name: own for name, own in each.items() if name != "path"} for each in value]
    return value


def shared_seeds(sources: Sequence[Source]) -> Iterator[str]:
    """Pairs of sweeps with a replicate in common: it would count twice."""
    for i, first in enumerate(sources):
        for second in sources[i + 1 :]:
            shared = sorted(set(first.seeds) & set(second.seeds))
            if shared:
                named = ", ".join(map(str, shared))
                yield (
                    f"Replicate seeds {named} are in both {first.folder} and {second.folder}, and each counts once. "
                    "Replicate r of `--seed s` has the seed s + r - 1, so sweeps of R replicates need master seeds R "
                    "or more apart: `--seed 0` and `--seed 1` at R = 6 share five."
                )


def merged_content(sources: Sequence[Source], study_id: str, *, planned: bool) -> dict[str, Any]:
    """Contents of the `plan.json` that one sweep of all these replicates would have, and what tells it from that.

    Args:
        sources: without `differences` and without shared seeds.
        study_id: name of the merge.
        planned: whether all of them were planned before the report of any could be read.
    """
    replicates = replicates_of(sources)
    first, seeds = replicates[0].source.plan, [replicate.seed for replicate in replicates]
    content = {name: value for name, value in first.items() if name not in (frozen.KEY, frozen.EXTENDED)}
    content |= {
        "study_id": study_id,
        "what": {**first["what"], "replicates": len(seeds), "seed": seeds[0]},
        "replicates": len(seeds),
        "seed": seeds[0],
        "nuisance": first["nuisance"] and [r.source.plan["nuisance"][r.number - 1] for r in replicates],
        "tuned": first["tuned"] and [_tuned(r, place) for place, r in enumerate(replicates)],
        **_origins(sources),
    }
    content.pop(SEEDS, None)
    content |= next(({frozen.DATA: s.plan[frozen.DATA]} for s in sources if frozen.DATA in s.plan), {})
    if seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        content[SEEDS] = seeds
    if not planned or any(_looked(source.plan) for source in sources):
        content[frozen.LOOKED] = True
    return frozen.with_hash(content) if frozen.KEY in first else content


def new_id(trial_id: str, replicate: Replicate, place: int, stage: str) -> str:
    """Id of a replicate's trial where the replicate stands at `place`, counted from 0."""
    return trial_name(int(trial_id[1:]) + (place + 1 - replicate.number) * replicate.source.per_replicate(stage))


def _tuned(replicate: Replicate, place: int) -> dict[str, Any]:
    best: Mapping[str, Any] = replicate.source.plan["tuned"][replicate.number - 1]
    return {cell: {**own, "trial_id": new_id(own["trial_id"], replicate, place, "tune")} for cell, own in best.items()}


def _origins(sources: Sequence[Source]) -> dict[str, list[Any]]:
    """Names and hashes of the sweeps that were run; of a merge, those that it was made of."""
    names, hashes = [], []
    for source in sorted(sources, key=lambda source: min(source.seeds)):
        names += source.plan.get(frozen.MERGED, [source.plan["study_id"]])
        hashes += source.plan.get(MERGED_SHA256, [source.plan.get(frozen.KEY)])
    return {frozen.MERGED: names, MERGED_SHA256: hashes}


def _looked(plan: Mapping[str, Any]) -> bool:
    """Whether replicates were added to it when others could be looked at."""
    before = plan.get(frozen.EXTENDED, [])
    return bool(plan.get(frozen.LOOKED)) or any(old["replicates"] < plan["replicates"] for old in before)


def _unfit(plan: Mapping[str, Any]) -> str | None:
    """Why a sweep cannot be part of any merge; None if it can."""
    if "replicates" not in plan or "tuner" not in plan:
        return (
            "it is of an earlier form, without replicates: its runs do not say how their images were drawn, and their "
            "`val_auc` was another measure. Report it alone, or lay it beside another with `koleo-sweeps compare`."
        )
    if plan["confirm"] == "best of search":
        return (
            "its settings are the best of a search, whose trials are proposed and stopped by one another. A folder "
            "holds one search, and several could not be told apart in it: merge sweeps with `--confirm tuned`."
        )
    return None


def _unlike(sources: Sequence[Source], values: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each name whose value is not the same in all, and what it is where."""
    for name in {name: None for own in values for name in own}:
        found = [own.get(name, "not set") for own in values]
        if any(value != found[0] for value in found):
            yield f"`{name}` is {_by_folder(sources, found)}"


def _by_folder(sources: Sequence[Source], values: Sequence[Any]) -> str:
    """`2 in results/a and results/b, 3 in results/c`"""
    folders: dict[str, list[str]] = defaultdict(list)
    for source, value in zip(sources, values, strict=True):
        folders[str(value)].append(str(source.folder))
    return ", ".join(f"{text} in {' and '.join(names)}" for text, names in folders.items())
