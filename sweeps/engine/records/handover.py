"""What a confirmed run hands over beside its rows: fetched by the driver, or else the run is computed again."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from embedding_core.errors import Faults
from embedding_core.storage import result_tables
from embedding_core.storage.retry import patiently
from trainables.checkpoint_store import CheckpointStore
from trainables.run_label import RunLabel

SEEN_AFTER_S: Final = 90.0
"""A machine may take a new file of a share for missing until its cache of the folder expires: 60 s with NFS."""

_logger = logging.getLogger(__name__)


class _Missing(Faults):
    """Not there, or not yet to be seen here."""


def fetched(
    checkpoint_store: CheckpointStore, label: RunLabel, *, pause: Callable[[float], None] = time.sleep
) -> dict[str, list[dict[str, Any]]]:
    """Rows by table that a completed run left in the checkpoint store.

    Args:
        checkpoint_store: of the runs.
        label: of this one.
        pause: takes the seconds between two looks for them.

    Raises:
        OSError: the checkpoint store is out of reach.
        Faults: the file is not there, or cannot be read.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "held_out"
        patiently(
            lambda: _get(checkpoint_store, label.held_out, file),
            what=f"{label.trial_id} has completed",
            patience_s=SEEN_AFTER_S,
            kinds=(_Missing,),
            sleep=pause,
        )
        return result_tables.read(file)


def put_aside(checkpoint_store: CheckpointStore, label: RunLabel, why: Faults) -> None:
    """Put the run's files aside, lest its complete checkpoint only send the rows again.

    Raises:
        OSError: the checkpoint store is out of reach.
    """
    for name in (label.checkpoint, label.held_out):
        checkpoint_store.put_aside(name)
    _logger.error("%s is computed again: %s", label.trial_id, why)


def _get(checkpoint_store: CheckpointStore, name: str, file: Path) -> None:
    if not checkpoint_store.get(name, file):
        raise _Missing([f"{name} is not among the checkpoints."])
