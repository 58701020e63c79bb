"""Trials of one sweep written into another one's folder, under other ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweeps.results.rows import schema_of
from sweeps.results.scan import scan
from sweeps.results.schema import KEYS
from sweeps.results.snapshots import SEQ
from sweeps.results.store import Store


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial stands in the other sweep."""

    trial_id: str
    columns: Mapping[str, Any]
    """Columns of `trials` that say other things there."""


def trial_name(number: int) -> str:
    """`t00012`, as the engine names trials (`trainables.run_label`)."""
    return f"t{number:05d}"


def copy_trials(source: Path, target: Store, stage: str, places: Mapping[str, Place]) -> None:
    """Publish every row of these trials in `target`: attempts stay, and so does which row is the latest.

    Args:
        source: folder of a sweep that no driver runs.
        target: the other one's.
        stage: one of STAGES.
        places: by trial id in `source`; trials without one are left out.

    Raises:
        Faults: a damaged file; names it.
        OSError: e.g. disk full; names the file.
    """
    # A row in `trials` says that the trial has ended: as the engine does, they come after all the others.
    for table in sorted(KEYS, key=lambda name: name == "trials"):
        rows, _ = scan(source, table, stage)  # in their order, which one file keeps
        rows = rows.drop_columns([SEQ])
        rows = rows.filter(pc.is_in(rows["trial_id"], pa.array(list(places), pa.string())))
        placed = [places[trial_id] for trial_id in rows["trial_id"].to_pylist()]
        columns = {"trial_id": [place.trial_id for place in placed]}
        if table == "trials":
            names = dict.fromkeys(name for place in placed for name in place.columns)
            columns |= {name: [place.columns[name] for place in placed] for name in names}
        target.publish(table, stage, _restated(table, rows, columns))


def _restated(table: str, rows: pa.Table, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The rows with all columns of the schema, these filled with other values."""
    schema = schema_of(table)
    whole = pa.concat_tables([schema.empty_table(), rows], promote_options="default")
    for name, values in columns.items():
        field = schema.field(name)
        whole = whole.set_column(schema.get_field_index(name), field, pa.array(values, field.type))
    return whole.replace_schema_metadata(schema.metadata)
