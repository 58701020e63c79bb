"""From the tables of a sweep to effects, figures and reports; needs neither Ray nor torch.

What is named here is loaded when it is asked for: reading one number does not load what draws the figures.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sweeps.analysis.optuna_studies.report import render_study
    from sweeps.analysis.report.compose import render_comparison, render_sweep
    from sweeps.analysis.stats.answers.contrast_table import effects
    from sweeps.analysis.stats.intervals.effects import Effect, paired_effect, replicated_effect
    from sweeps.analysis.sweep_result import SweepResult, compare, trials

__all__ = [
    "Effect",
    "SweepResult",
    "compare",
    "effects",
    "paired_effect",
    "render_comparison",
    "render_study",
    "render_sweep",
    "replicated_effect",
    "trials",
]

_HOMES: Final = {
    "Effect": "stats.intervals.effects",
    "SweepResult": "sweep_result",
    "compare": "sweep_result",
    "effects": "stats.answers.contrast_table",
    "paired_effect": "stats.intervals.effects",
    "render_comparison": "report.compose",
    "render_study": "optuna_studies.report",
    "render_sweep": "report.compose",
    "replicated_effect": "stats.intervals.effects",
    "trials": "sweep_result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
