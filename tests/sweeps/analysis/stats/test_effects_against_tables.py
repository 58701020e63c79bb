"""`paired_effect` on rows of the trials table."""

import pyarrow as pa
import pytest

from sweeps.analysis.stats.intervals.effects import paired_effect

OFF, ON = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96], [0.91, 0.93, 0.93, 0.95, 0.95, 0.97, 0.97]


def rows(cell: str, outcomes: list[float], *, stage: str = "confirm", blocks: list[int] | None = None) -> pa.Table:
    n = len(outcomes)
    return pa.table(
        {"stage": [stage] * n, "cell_id": [cell] * n, "block": blocks or list(range(1, n + 1)), "test_auc": outcomes}
    )


def test_rows_give_the_effect_of_their_values_whatever_their_order() -> None:
    reversed_on = rows("koleo=on", ON[::-1], blocks=list(range(7, 0, -1)))
    assert paired_effect(rows("koleo=off", OFF), reversed_on) == paired_effect(OFF, ON)


@pytest.mark.parametrize("position", [0, 1])
def test_adaptive_rows_are_refused_in_either_arm(position: int) -> None:
    arms = [rows("koleo=off", OFF), rows("koleo=on", ON)]
    arms[position] = rows("koleo=on", ON, stage="search")
    with pytest.raises(ValueError, match="adaptive sample"):
        paired_effect(*arms)


def test_other_blocks_a_second_cell_or_a_block_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="same blocks"):
        paired_effect(rows("koleo=off", OFF), rows("koleo=on", ON, blocks=list(range(2, 9))))
    with pytest.raises(ValueError, match="one cell"):
        paired_effect(rows("koleo=off", OFF), pa.concat_tables([rows("koleo=on", ON), rows("koleo=off", OFF)]))
    with pytest.raises(ValueError, match="each block once"):
        paired_effect(rows("koleo=off", OFF), rows("koleo=on", ON, blocks=[1, 1, 2, 3, 4, 5, 6]))
