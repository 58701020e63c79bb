"""Trials of one sweep written into another one's folder, under other ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sweeps.results import files
from sweeps.results.rows import schema_of
from sweeps.results.scan import read_file
from sweeps.results.schema import KEYS
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
    """Publish every row of these trials in `target`, file by file: attempts stay, and so does which row is the latest.

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
        for part in files.parts(source, table, stage):
            place = places.get(part.trial_id)
            if place is not None:
                rows = read_file(files.stage_dir(source, table, stage) / part.file_name, None, table)
                others = place.columns if table == "trials" else {}
                target.publish(
                    table,
                    stage,
                    place.trial_id,
                    part.attempt,
                    _restated(table, rows, {**others, "trial_id": place.trial_id}),
                )


def _restated(table: str, rows: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """The rows with all columns of the schema, these filled with one value each."""
    schema = schema_of(table)
    whole = pa.concat_tables([schema.empty_table(), rows], promote_options="default")
    for name, value in columns.items():
        field = schema.field(name)
        whole = whole.set_column(
            schema.get_field_index(name), field, pa.repeat(pa.scalar(value, field.type), rows.num_rows)
        )
    return whole.replace_schema_metadata(schema.metadata)
