"""Effects in the README are those of the reports it links: none is typed from memory."""

import re
from pathlib import Path

import pyarrow.parquet as pq

from sweeps.analysis.numbers import interval
from sweeps.analysis.stats.effects import Interval

ROOT = Path(__file__).parents[1]
EFFECT = re.compile(r"\| ([+-]\.\d+ \[[+-]\.\d+, [+-]\.\d+\]) \| (\d+) \|")


def test_every_effect_in_a_table_is_of_a_committed_run() -> None:
    stated = EFFECT.findall((ROOT / "README.md").read_text())
    committed = set()
    for file in sorted((ROOT / "examples").glob("*/contrasts.parquet")):
        for row in pq.read_table(file).to_pylist():
            if row["epoch"] is None and row["estimate"] is not None:
                effect = Interval(row["estimate"], row["ci_low"], row["ci_high"], row["n"])
                committed.add((interval(effect), str(effect.n)))
    assert len(stated) >= 17
    assert not set(stated) - committed
