"""What a sweep is to find out and what it will run: factors, cells, estimands, presets; plan, runs, selection.

What a sweep script needs is here; it loads neither Ray nor torch.
"""

from sweeps.design.design import OF_PLUGINS, Cell, Design, Estimand, Factor, Levels, Outcome, Preset, Range

__all__ = ["OF_PLUGINS", "Cell", "Design", "Estimand", "Factor", "Levels", "Outcome", "Preset", "Range"]
