"""A sweep's folder as an object: its tables as frames, its answer, and how a notebook shows it."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from embedding_core.errors import Faults
from sweeps.analysis.stats.answers.contrast_table import effects
from sweeps.results import store

if TYPE_CHECKING:
    import pandas as pd

BEST = Path("best") / "model.pt"
"""In a sweep's folder: the model of the best run of the confirmation."""


def table(results_dir: Path | str, name: str, *, stage: str | None = None) -> "pd.DataFrame":
    """A table of the store as a frame; `stage` is a column of it.

    Args:
        results_dir: folder of a sweep.
        name: `trials`, `curves`, `rungs`, `evaluations`, `eval_groups`, `embeddings`, `views`.
        stage: `search`, `tune` or `confirm` alone.

    Raises:
        Faults: no sweep there, or no table or stage of that name.
    """
    return store.read(Path(results_dir), name, stage=stage).to_pandas()


def trials(results_dir: Path | str, *, stage: str | None = None) -> "pd.DataFrame":
    """One row per trial: its configuration, how it ended, what it reached."""
    return table(results_dir, "trials", stage=stage)


def compare(*results_dirs: Path | str) -> "pd.DataFrame":
    """What several sweeps say of the same questions: rows of `effects` of their primaries, led by the sweep's name.

    Differences with an interval are on the page of `render_comparison`.

    Raises:
        Faults: no folders, or as `effects`; all of them at once.
    """
    import pandas as pd

    if not results_dirs:
        raise Faults(["`compare` needs the folder of a sweep at least."])
    frames: list[pd.DataFrame] = []
    faults: list[str] = []
    for folder in results_dirs:
        try:
            found = effects(folder)
        except Faults as error:
            faults += error.faults
            continue
        own = found[found["family"] == "primary"].copy()
        own.insert(0, "sweep", Path(folder).resolve().name)
        frames.append(own)
    if faults:
        raise Faults(faults)
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep left in its folder; finished or not, and from whatever process."""

    folder: Path
    complete: bool = True
    """Whether all that was planned has run; a result that `run` did not make takes it for granted."""

    def effects(self) -> "pd.DataFrame":
        """One row per contrast: estimate, interval, verdict, sentence. See `sweeps.analysis.effects`."""
        return effects(self.folder)

    def trials(self, *, stage: str | None = None) -> "pd.DataFrame":
        """One row per trial."""
        return trials(self.folder, stage=stage)

    def curves(self, *, stage: str | None = None) -> "pd.DataFrame":
        """One row per trial and epoch."""
        return table(self.folder, "curves", stage=stage)

    def best(self) -> Path:
        """The file of the best model, as `python -m embedding_core.embed` takes it.

        Raises:
            Faults: no run of the confirmation has completed.
        """
        if not (self.folder / BEST).exists():
            raise Faults([f"`{self.folder}` has no model yet: no run of the confirmation has completed."])
        return self.folder / BEST

    def report(self) -> Path:
        """Write the report anew, and return the path of its page."""
        from sweeps.analysis.report.compose import render_sweep

        return render_sweep(self.folder)

    def answer(self) -> list[str]:
        """The sentences that the data support."""
        from sweeps.analysis.report.compose import compose

        return compose(self.folder).verdicts

    def _repr_html_(self) -> str:
        """In a notebook: the answer, and the forest of the primaries."""
        from sweeps.analysis.figures.drawing.style import inline_svg, svg_of
        from sweeps.analysis.report.compose import compose

        try:
            report = compose(self.folder)
        except Faults as error:
            return f"<p>{escape(str(error))}</p>"
        parts = [f"<p><b>{escape(verdict)}</b></p>" for verdict in report.verdicts]
        for one in report.pictures[:1] if report.first is not None and report.first.picture is not None else ():
            svg = inline_svg(svg_of(one.drawn()), name=one.name, label=one.reading)
            parts.append(f'<div style="max-width: 34em">{svg}</div>')
        return "\n".join([*parts, f"<p>{escape(str(self.folder))}</p>"])
