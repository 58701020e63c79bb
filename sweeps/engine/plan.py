"""What a sweep will run: settled before the first trial, written to `plan.json`, and the same after a resume."""

import hashlib
import json
import random
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from embedding_core.config import TrainConfig
from embedding_core.data import resolve_root
from embedding_core.faults import Faults
from embedding_core.seeding import stream
from sweeps.engine.design import Cell, Design, Preset, Settings, Value, spelled
from sweeps.engine.options import CONFIRM_FLAG, DEFAULT_PRESET, RUNNABLE_STAGES
from trainables.label import RunLabel

BLOCKS_PER_SEED = 1000
"""Master seeds are spaced so that two sweeps share no block."""

SEARCH_BLOCK = 0
"""The seed index of all search trials; confirmation uses 1 to S."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A design with its budget settled."""

    design: Design
    """Without the factors that `what` fixes."""
    design_sha256: str
    """Of the script's whole design."""
    preset: Preset
    what: Settings
    """Resolved options; `plan.json` keeps them, and a resume must not differ."""
    stages: tuple[str, ...]
    samples: int
    blocks: int
    seed: int
    confirm: str
    base: Settings
    """TrainConfig fields that no factor varies."""

    @classmethod
    def of(cls, design: Design, what: Settings) -> "Plan":
        """Fill in what was not asked for from the preset, the design and the data set, in that order of precedence."""
        preset_name = str(what.get("preset", DEFAULT_PRESET))
        preset = design.presets[preset_name]
        dataset = str(what.get("dataset", preset.dataset))
        fields_given = {f.name: what[f.name] for f in fields(TrainConfig) if f.name in what and f.name != "seed"}
        base = {
            **design.fixed,
            **design.datasets.get(dataset, {}),
            **preset.fixed,
            "epochs": preset.epochs,
            **fields_given,
            "dataset": dataset,
            "data_root": str(resolve_root(what.get("data_root"))),  # type: ignore[arg-type]
        }
        return cls(
            design=replace(design, factors=tuple(f for f in design.factors if f.name not in fields_given)),
            design_sha256=design_sha256(design),
            preset=preset,
            what={**what, "preset": preset_name, "dataset": dataset, "data_root": base["data_root"]},
            stages=tuple(
                s for s in RUNNABLE_STAGES if s in str(what.get("stages", ",".join(RUNNABLE_STAGES))).split(",")
            ),
            samples=int(what.get("samples", preset.samples)),  # type: ignore[arg-type]
            blocks=int(what.get("blocks", preset.blocks)),  # type: ignore[arg-type]
            seed=int(what.get("seed", 0)),  # type: ignore[arg-type]
            confirm=CONFIRM_FLAG[str(what["confirm"])] if "confirm" in what else preset.confirm,
            base=base,
        )

    def setting(self, name: str) -> Value:
        """What an option resolved to."""
        settled: Settings = {
            "stages": ",".join(self.stages),
            "samples": self.samples,
            "blocks": self.blocks,
            "seed": self.seed,
            "confirm": self.confirm,
        }
        return {**self.base, **self.what, **settled}.get(name, "not set")

    @property
    def search_base(self) -> dict[str, Any]:
        """TrainConfig fields common to all search trials."""
        return {**self.base, "seed": self.block_seed(SEARCH_BLOCK), "stop_if_collapsed": True, "eval_test": False}

    def block_seed(self, block: int) -> int:
        """`TrainConfig.seed` of a block."""
        return self.seed * BLOCKS_PER_SEED + block

    def confirm_config(self, cell: Cell, block: int, nuisance: Settings) -> TrainConfig:
        """Configuration of one confirmation run."""
        # Views of one block are enough to look at, and UMAP takes longer than many a run.
        views = self.base.get("views", "all") if block == 1 else "none"
        given = {**self.base, **nuisance, **cell.levels}
        return TrainConfig.from_flat(
            {**given, "seed": self.block_seed(block), "eval_test": True, "stop_if_collapsed": False, "views": views}
        )

    def confirm_runs(
        self, nuisance: dict[str, Settings], *, study_id: str, checkpoint_dir: str
    ) -> list[tuple[TrainConfig, RunLabel]]:
        """Complete blocks, one after the other, cells in random order within each.

        Args:
            nuisance: settings by cell id.
            study_id: name of the sweep.
            checkpoint_dir: see `RunLabel`.
        """
        runs: list[tuple[TrainConfig, RunLabel]] = []
        for block in range(1, self.blocks + 1):
            cells = list(self.design.cells)
            random.Random(stream(self.seed, "cell order", block)).shuffle(cells)
            for cell in cells:
                label = RunLabel(
                    study_id=study_id,
                    stage="confirm",
                    cell_id=cell.cell_id,
                    trial_id=f"t{len(runs):05d}",
                    block=block,
                    origin=self.confirm,
                    attempt=1,
                    checkpoint_dir=checkpoint_dir,
                )
                runs.append((self.confirm_config(cell, block, nuisance[cell.cell_id]), label))
        return runs

    def reachable(self) -> list[Settings]:
        """Settings of everything that the sweep could run: the corners of its search and its cells."""
        reachable: list[Settings] = []
        if "search" in self.stages:
            reachable += [{**self.search_base, **corner} for corner in self.design.corners()]
            reachable += [{**self.search_base, **first} for first in self.preset.first_trials]
        if "confirm" in self.stages:
            first_block = {**self.base, "seed": self.block_seed(1)}
            reachable += [{**first_block, **cell.drop_in, **cell.levels} for cell in self.design.cells]
        return reachable

    def distinct(self, *names: str) -> list[TrainConfig]:
        """One possible configuration for each reachable combination of values of these fields."""
        found: dict[tuple[Value, ...], TrainConfig] = {}
        for settings in self.reachable():
            with suppress(Faults):  # told by `config_faults`
                config = TrainConfig.from_flat(dict(settings))
                found.setdefault(tuple(getattr(config, name) for name in names), config)
        return list(found.values())

    def config_faults(self) -> list[str]:
        """Everything impossible about any configuration that the sweep could reach, each fault once."""
        faults: dict[str, None] = {}
        for settings in self.reachable():
            try:
                TrainConfig.from_flat(dict(settings))
            except Faults as error:
                faults.update(dict.fromkeys(error.faults))
        compared = {name for cell in self.design.cells for name in (*cell.levels, *cell.drop_in)}
        for name in sorted(compared & set(self.what)):
            faults[f"`--set {name}` would fix what the sweep compares; its cells set it."] = None
        if self.blocks >= BLOCKS_PER_SEED:
            faults[f"`--blocks` must be below {BLOCKS_PER_SEED}, but got {self.blocks}."] = None
        if "confirm" in self.stages and "search" not in self.stages and self.confirm == "best of search":
            faults["`--confirm best` needs a search: add it to `--stages`, or take `--confirm drop-in`."] = None
        return list(faults)

    def to_json(self, study_id: str, nuisance: dict[str, Settings] | None = None) -> dict[str, Any]:
        """Contents of `plan.json`; `nuisance` by cell id as soon as it is settled."""
        stated = {cell.cell_id: cell.drop_in for cell in self.design.cells}
        settled = nuisance or (stated if self.confirm == "drop-in" else None)
        nuisance = settled or stated
        return {
            "study_id": study_id,
            "question": self.design.question,
            "design": self.design.name,
            "design_sha256": self.design_sha256,
            "what": dict(self.what),
            "stages": list(self.stages),
            "samples": self.samples,
            "blocks": self.blocks,
            "confirm": self.confirm,
            "nuisance": settled and {cell: dict(settings) for cell, settings in settled.items()},
            "contrasts": [
                {
                    "estimand": contrast.estimand,
                    "control": contrast.control,
                    "treatment": contrast.treatment,
                    "treatment_label": contrast.label.format_map(
                        {name: spelled(value) for name, value in {**self.base, **nuisance[contrast.treatment]}.items()}
                    ),
                    "outcome": "test_auc",
                    "sesoi": contrast.sesoi,
                }
                for contrast in self.design.contrasts
            ],
        }


def design_sha256(design: Design) -> str:
    """Hash of the design; a resume under another design is refused."""
    return hashlib.sha256(json.dumps(asdict(design), sort_keys=True).encode()).hexdigest()


def write(file: Path, content: dict[str, Any]) -> None:
    """Write `plan.json` atomically."""
    partial = file.with_name(f".{file.name}")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(file)


def resumed(design: Design, file: Path, given: Settings) -> Plan:
    """The plan of an earlier start.

    Raises:
        Faults: no readable plan, another design, or options that differ from it.
    """
    content = _read(file)
    if content["design_sha256"] != design_sha256(design):
        raise Faults([f"{file} belongs to another design ({content['design']}), or {design.name} has changed since."])
    what = content["what"]
    kept = Plan.of(design, what)
    differing = []
    for name, value in given.items():
        asked = Plan.of(design, {**what, name: value})
        if asked != replace(kept, what=asked.what):
            differing.append(f"`{name}` is {kept.setting(name)} there, {value} here")
    if differing:
        raise Faults([f"A resumed sweep keeps its plan, but {', '.join(differing)}. Leave these flags out."])
    return kept


def _read(file: Path) -> dict[str, Any]:
    """Contents of a `plan.json`.

    Raises:
        Faults: it cannot be read, or is no plan.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Faults([f"`--resume` needs {file}, which cannot be read: {error}"]) from error
    kinds = {"design": str, "design_sha256": str, "what": dict}
    if not isinstance(content, dict) or not all(isinstance(content.get(name), kind) for name, kind in kinds.items()):
        raise Faults([f"`--resume` needs {file}, but it is not the plan of a sweep."])
    return content
