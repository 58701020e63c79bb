"""What a sweep will run: settled before the first trial, and the same after a resume."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from embedding_core.config.data_root import resolve_root
from embedding_core.config.plugin_fields import plugin_fields
from embedding_core.config.train_config import TrainConfig, field_types
from sweeps.design.cells import Contrast, Factorial, Kept, contrasts_of
from sweeps.design.design import Cell, Design, Factor, Outcome, Preset, Settings, Value, is_one_of, spelled
from sweeps.design.tuning import ETA, GRACE, SEARCHERS
from sweeps.results.schema import STAGES

DEFAULT_PRESET: Final = "quick"
"""What is planned where no preset is named."""

CONFIRM: Final[Mapping[str, Literal["drop-in", "best of search", "best of tune"]]] = {
    "drop-in": "drop-in",
    "best": "best of search",
    "tuned": "best of tune",
}
"""As people ask for it -> where the nuisance settings of the cells come from."""

BLOCKS_PER_SEED: Final = 1000
"""Master seeds are spaced so that two replicates share no block."""

SEARCH_BLOCK: Final = 0
"""The seed index of all trials of the search, and of each replicate's draw of images; confirmation uses 1 to S."""

FIRST_POINT_BLOCK: Final = 500
"""Point i of a tuning has the seed index 500 + i: as many points or blocks as lie between can be asked for."""

CONTROL_BLOCKS: Final = 4
"""Blocks in which the A/A controls run: enough to see that rounding is small beside the SESOI."""

TUNERS: Final = ("optuna", "sobol")
"""`optuna`: a study per cell and replicate, stopped early by ASHA. `sobol`: common points alone, all to the end."""


@dataclass(frozen=True, kw_only=True)
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
    replicates: int
    points: int
    """Settings tried in every cell of a replicate."""
    blocks: int
    """Seeds of the confirmation, per replicate."""
    seed: int
    """Of the first replicate; each further one counts on."""
    confirm: str
    tuner: str
    """One of `TUNERS`; empty where nothing is tuned."""
    outcome: Outcome
    """What cells are tuned and judged by."""
    controls: bool
    """Whether the A/A controls of the design run as well."""
    exempt: float
    """Share of search trials that ASHA may not stop."""
    searcher: str
    """One of `SEARCHERS`."""
    eta: int
    """Of ASHA, >= 2: see `ETA`."""
    grace: float
    """Likewise, in (0, 1]: see `GRACE`."""
    base: Settings
    """TrainConfig fields that no factor varies."""
    guessed: Mapping[str, str] = field(default_factory=dict)
    """Fields that were made to fit the data at the start, a sentence each; `plan.json` has these with the data, too."""

    @classmethod
    def of(cls, design: Design, what: Settings) -> "Plan":
        """Fill in what was not asked for from the preset, the design and the data set, in that order of precedence."""
        preset_name = str(what.get("preset", DEFAULT_PRESET))
        preset = design.presets[preset_name]
        dataset = str(what.get("dataset", preset.dataset))
        known = {*field_types(TrainConfig), *plugin_fields()} - {"seed"}
        fields_given = {name: value for name, value in what.items() if name in known}
        base = {
            **design.fixed,
            **design.datasets.get(dataset, {}),
            **preset.fixed,
            "epochs": preset.epochs,
            **fields_given,
            "dataset": dataset,
            "data_root": str(resolve_root(what.get("data_root"))),  # type: ignore[arg-type]
        }
        # Frozen for all of the preset's epochs is frozen for all of another number of them.
        if int(preset.fixed.get("freeze_epochs") or 0) >= preset.epochs and "freeze_epochs" not in fields_given:
            base["freeze_epochs"] = base["epochs"]
        points = int(what.get("points", preset.points))  # type: ignore[arg-type]
        confirm = CONFIRM[str(what["confirm"])] if "confirm" in what else preset.confirm
        samples = int(what.get("samples", preset.samples))  # type: ignore[arg-type]
        needed = {"search": samples > 0, "tune": confirm == "best of tune", "confirm": True}
        stages = str(what["stages"]).split(",") if "stages" in what else [name for name in needed if needed[name]]
        return cls(
            design=replace(design, factors=_varied(design, base, {**preset.fixed, **fields_given})),
            design_sha256=design.sha256,
            preset=preset,
            what={**what, "preset": preset_name, "dataset": dataset, "data_root": base["data_root"]},
            stages=tuple(s for s in STAGES if s in stages),
            samples=samples,
            replicates=int(what.get("replicates", preset.replicates)),  # type: ignore[arg-type]
            points=points,
            blocks=int(what.get("blocks", preset.blocks)),  # type: ignore[arg-type]
            seed=int(what.get("seed", 0)),  # type: ignore[arg-type]
            confirm=confirm,
            tuner=str(what.get("tuner", TUNERS[0])) if "tune" in stages else "",
            outcome=_outcome(design, str(what.get("outcome", preset.outcome))),
            controls=bool(what.get("controls", False)),
            exempt=float(what.get("exempt", 0.0)),  # type: ignore[arg-type]
            searcher=str(what.get("searcher", SEARCHERS[0])),
            eta=int(what.get("eta", ETA)),  # type: ignore[arg-type]
            grace=float(what.get("grace", GRACE)),  # type: ignore[arg-type]
            base=base,
        )

    @property
    def compared(self) -> tuple[str, ...]:
        """Fields that the estimands are about."""
        named = [name for e in self.design.estimands for name in (e.factor, e.times) if name]
        return tuple(dict.fromkeys(named))

    @cached_property
    def factorial(self) -> Factorial:
        """The cells to compare: listed, or those of the preset, or the arms where the search is what tunes them."""
        if self.design.cells:
            return Factorial.listed(
                [cell for cell in self.design.cells if cell.cell_id in self.preset.cells or not self.preset.cells]
            )
        arms = self.design.arms
        levels: Mapping[str, Sequence[Value]] = {
            name: tuple(dict.fromkeys(arm.levels[name] for arm in arms)) for name in arms[0].levels
        }
        if self.preset.levels and self.confirm != "best of search":
            given = {name for name in self.what if name not in self.compared}
            levels = {name: values for name, values in self.preset.levels.items() if name not in given}
        return Factorial.of(self.design, levels, self.base)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of the confirmation: the factorial, and the A/A controls where they were asked for."""
        if not self.controls or self.confirm != "best of tune":
            return self.factorial.distinct
        found = self.factorial.controls(self.design, self.base)
        free = [cell for cell in found if not set(self.what) & (set(cell.levels) - set(self.factorial.levels))]
        return (*self.factorial.distinct, *free)

    def blocks_of(self, cell: Cell) -> int:
        """Blocks that a cell runs in, from the first, in every replicate."""
        return min(self.blocks, CONTROL_BLOCKS) if cell.role == "control" else self.blocks

    @property
    def common_points(self) -> int:
        """Points that a replicate tries in all of its cells; what is left of a study its tuner proposes."""
        if self.tuner != "optuna":
            return self.points
        return 1 << (max(1, self.points // 2).bit_length() - 1)

    def of_replicate(self, number: int) -> "Plan":
        """The plan of one replicate alone, counted from 1."""
        return replace(self, seed=self.seed + number - 1, replicates=1)

    def contrasts(self) -> list[Contrast]:
        """Everything that the confirmation is to estimate, with labels for how the cells were set."""
        estimands = self.design.estimands
        if self.confirm == "drop-in":
            stated = [replace(e, label=self._stated(e.drop_in_label)) if e.drop_in_label else e for e in estimands]
            return contrasts_of(stated, self.factorial, self.outcome)
        return contrasts_of(estimands, self.factorial, self.outcome) + [
            Contrast(
                code="A/A",
                estimand=f"{cell.cell_id} against {cell.settings_of}",
                label=cell.cell_id,
                weights={cell.settings_of: -1.0, cell.cell_id: 1.0},
                outcome=self.outcome.column,
                outcome_label=self.outcome.label,
                sesoi=self.outcome.sesoi,
                family="control",
                note="The same computation: what differs is rounding, and what training makes of it.",
            )
            for cell in self.cells
            if cell.role == "control"
        ]

    def _stated(self, label: str) -> str:
        """A label with the stated values of the treatment; what the levels fill in stays."""
        stated = {name: spelled(value) for arm in self.design.arms for name, value in arm.drop_in.items()}
        return label.format_map(Kept({**{name: spelled(value) for name, value in self.base.items()}, **stated}))

    def setting(self, name: str) -> Value:
        """What an option resolved to."""
        settled: Settings = {
            "stages": ",".join(self.stages),
            "samples": self.samples,
            "replicates": self.replicates,
            "points": self.points,
            "blocks": self.blocks,
            "seed": self.seed,
            "confirm": self.confirm,
            "tuner": self.tuner,
            "outcome": self.outcome.name,
            "controls": self.controls,
            "exempt": self.exempt,
            "searcher": self.searcher,
            "eta": self.eta,
            "grace": self.grace,
        }
        return {**self.base, **self.what, **settled}.get(name, "not set")

    @property
    def run_base(self) -> dict[str, Any]:
        """TrainConfig fields common to all runs of the first replicate, and of `of_replicate` to those of its own."""
        return {"split_seed": self.block_seed(SEARCH_BLOCK), **self.base}

    @property
    def search_base(self) -> dict[str, Any]:
        """TrainConfig fields common to all trials of the search."""
        return {**self.tune_base, "seed": self.block_seed(SEARCH_BLOCK), "stop_if_collapsed": True}

    @property
    def tune_base(self) -> dict[str, Any]:
        """TrainConfig fields common to all tuning trials; a cell that always collapses is confirmed, too, and shown."""
        return {**self.run_base, "stop_if_collapsed": False, "eval_test": False}

    def block_seed(self, block: int) -> int:
        """`TrainConfig.seed` of a block."""
        return self.seed * BLOCKS_PER_SEED + block

    @property
    def nuisances(self) -> tuple[Factor, ...]:
        """What is tuned in every cell."""
        return tuple(factor for factor in self.design.factors if factor.role == "nuisance")


def _outcome(design: Design, name: str) -> Outcome:
    """The outcome of that name; the first where there is none: an unknown one is told with the other faults."""
    return next((outcome for outcome in design.outcomes if outcome.name == name), design.outcomes[0])


def _varied(design: Design, base: Settings, given: Settings) -> tuple[Factor, ...]:
    """Factors left to vary: not fixed by user or preset, and of use with what is fixed."""
    varied = [factor for factor in design.factors if factor.name not in given]
    names = {factor.name for factor in varied} | {name for cell in design.cells for name in cell.settings}
    own = {name: field.default for name, field in plugin_fields().items()}
    known = {**TrainConfig().to_flat(), **own, **base}
    kept = []
    for factor in varied:
        open_ = {name: values for name, values in factor.when.items() if name in names}
        if all(is_one_of(name, known[name], values) for name, values in factor.when.items() if name not in open_):
            kept.append(replace(factor, when=open_))
    return tuple(kept)
