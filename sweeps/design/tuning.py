"""How Optuna and ASHA tune where nobody asks for anything else."""

from typing import Final

SEARCHERS: Final = ("tpe", "random")
"""What proposes settings where Optuna tunes; the first unless `--searcher` says otherwise."""

ETA: Final = 2
"""At each rung of ASHA the better 1/eta goes on."""

GRACE: Final = 0.25
"""Share of its epochs in which no trial is stopped: early values say little, and to trust them would
stop slow starters."""
