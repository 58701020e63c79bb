"""Censoring by ASHA on a simulated search whose truth is known: weights correct what survivors and last values hide."""

import math
from bisect import insort
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sweeps.analysis.report.sections.runs import stopping
from sweeps.analysis.stats.description.censoring import CensoredMean, ipw_means
from sweeps.results.schema import TRIALS

TRUTH = {"koleo=off": 0.900, "koleo=on": 0.905}
LATE = 0.08
"""How much lower the slow starter is at the first rung than at its end."""

Row = dict[str, Any]


def trial(cell: str, value: float, end: str, prob: float | None = None, rung: int | None = None) -> Row:
    return {
        "stage": "search",
        "cell_id": cell,
        "final_val_auc": value,
        "end_reason": end,
        "exempt_prob": prob,
        "would_stop_rung": rung,
    }


def table(rows: list[Row]) -> pa.Table:
    rows = [{"trial_id": f"t{i:05d}", "attempt": 1, **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(rows, schema=TRIALS.append(pa.field("stage", pa.string())))


def searched(seed: int, *, n: int = 1000, share: float = 0.2) -> pa.Table:
    """Trials in turn through two rungs; below the median of those before it, a trial stops or is drawn to go on.

    Settings spread the final AUC by .02; with KoLeo a trial starts LATE lower. One that goes on by its draw is judged,
    and others by it, no more.
    """
    draw = np.random.default_rng(seed)
    seen: dict[int, list[float]] = {100: [], 300: []}
    rows = []
    for i in range(n):
        cell = ("koleo=off", "koleo=on")[i % 2]
        final = TRUTH[cell] + draw.normal(0, 0.02)
        exempt, behind = draw.random() < share, LATE if cell == "koleo=on" else 0.0
        would_stop, row = None, None
        for rung, left in ((100, 1.0), (300, 0.4)):
            value = final - 0.05 * left - behind * left + draw.normal(0, 0.01)
            if would_stop is None:
                below = len(seen[rung]) > 0 and value < seen[rung][len(seen[rung]) // 2]
                insort(seen[rung], value)
                if below and not exempt:
                    row = trial(cell, value, "asha_stopped", share)
                    break
                would_stop = rung if below else None
        rows.append(row or trial(cell, final, "completed", share, would_stop))
    return table(rows)


def difference(means: list[CensoredMean]) -> tuple[float, float]:
    """On minus off of the weighted means, with its standard error."""
    off, on = means
    assert off.weighted is not None
    assert on.weighted is not None
    assert off.se is not None
    assert on.se is not None
    return on.weighted - off.weighted, math.hypot(on.se, off.se)


def test_weights_are_within_two_standard_errors_of_the_truth_where_complete_cases_are_not() -> None:
    off, on = ipw_means(searched(seed=0))
    estimate, se = difference([off, on])
    truth = TRUTH["koleo=on"] - TRUTH["koleo=off"]
    assert abs(estimate - truth) < 2 * se
    for one in (off, on):
        assert one.weighted is not None
        assert one.se is not None
        assert one.complete_cases is not None
        assert abs(one.weighted - TRUTH[one.cell_id]) < 2 * one.se
        assert one.complete_cases > TRUTH[one.cell_id]  # survivors
    assert off.complete_cases is not None
    assert off.se is not None
    assert off.complete_cases - TRUTH["koleo=off"] > 2 * off.se
    assert on.last_values - off.last_values < truth - 2 * se  # +.005 reads as a loss


@pytest.mark.slow
def test_the_standard_error_covers_the_truth() -> None:
    found = [difference(ipw_means(searched(seed, n=400))) for seed in range(200)]
    covered = np.mean([abs(estimate - 0.005) < 1.96 * se for estimate, se in found])
    assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)
    estimates = np.array([estimate for estimate, _ in found])
    assert abs(estimates.mean() - 0.005) < 3 * estimates.std(ddof=1) / math.sqrt(200)


def test_weights_by_hand() -> None:
    rows = [
        trial("koleo=off", 0.9, "completed", 0.25),
        trial("koleo=off", 0.7, "completed", 0.25, 100),
        trial("koleo=off", 0.3, "asha_stopped", 0.25),
        trial("koleo=off", 0.2, "diverged", 0.25),
    ]
    (one,) = ipw_means(table(rows))
    assert (one.n, one.stopped, one.exempt) == (3, 1, 1)
    assert one.weighted == pytest.approx((0.9 + 4 * 0.7) / 5)
    assert one.complete_cases == pytest.approx(0.8)
    assert one.last_values == pytest.approx((0.9 + 0.7 + 0.3) / 3)
    assert one.se == pytest.approx(math.sqrt(3 / 2 * (0.16**2 + (4 * 0.04) ** 2)) / 5)


def test_without_stopping_it_is_the_mean_and_without_a_stand_in_there_is_none() -> None:
    values = [0.90, 0.92, 0.97]
    (plain,) = ipw_means(table([trial("koleo=off", value, "completed") for value in values]))
    assert plain.weighted == pytest.approx(np.mean(values))
    assert plain.se == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    cut = [trial("koleo=off", 0.9, "completed", 0.2), trial("koleo=off", 0.5, "asha_stopped", 0.2)]
    (hidden,) = ipw_means(table(cut))
    assert (hidden.weighted, hidden.se) == (None, None)


def test_the_section_is_there_when_trials_were_exempt() -> None:
    section = stopping(searched(seed=1, n=200))
    ((header, rows),) = [(t.header, t.rows) for t in section.tables]
    assert header[-1] == "weighted"
    assert [row[0] for row in rows] == ["koleo=off", "koleo=on"]
    assert all(" ± ." in row[-1] for row in rows)
    nothing = stopping(table([trial("koleo=off", 0.9, "completed")]))
    assert not nothing.tables
    assert not nothing.paragraphs
