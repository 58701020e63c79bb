"""Tells a machine that fails all its trials from a bug that fails them on every machine, by the errors they end in."""

import re
from collections import defaultdict, deque
from typing import Final

from embedding_core.errors import Faults
from embedding_core.storage.result_tables import Row
from sweeps.engine.machines.resources import Slots
from trainables.endings import UnfitMachine

EQUAL_ERRORS: Final = 3
"""So many trials with different settings that end in one error are no coincidence."""

NOWHERE: Final = ""
"""In place of the node of a trial whose process could not say where it was."""


class SickNode(Exception):
    """A node is to be left out, and what it has failed is to run elsewhere."""

    def __init__(self, node_id: str, why: str) -> None:
        super().__init__(why)
        self.node_id = node_id


class ErrorWatch:
    """Takes note of final rows, and says what is to be done about their errors.

    A node is left out after `EQUAL_ERRORS` of one kind that no other node has had, or at once when a trial finds that
    it cannot run there. The same error on several nodes, or nothing but one error on the only node that there is,
    ends the sweep: each further trial would end so. One that fails now and then, among others that do not, is that
    trial's affair.
    """

    def __init__(self) -> None:
        self._settings: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        """Hashes of the configurations that ended so, by error and node."""
        self._latest: deque[str | None] = deque(maxlen=EQUAL_ERRORS)
        """Errors of the latest trials to end; None: none."""
        self._unread: list[Row] = []

    def on_stored(self, row: Row) -> None:
        """Take note of a final row of `trials`."""
        if row["end_reason"] != "error":
            self._latest.append(None)
            return
        error = kind_of(row["error_type"])
        self._latest.append(error)
        self._settings[error][row["node_id"] or NOWHERE].add(row["config_sha256"])
        self._unread.append(row)

    def check(self, slots: Slots) -> None:
        """What follows from the errors since it was last asked.

        Args:
            slots: what a trial holds, and on which nodes.

        Raises:
            SickNode: trials run on without this one.
            Faults: every further trial would fail.
        """
        while self._unread:
            self._judge(self._unread.pop(0), slots)

    def _judge(self, row: Row, slots: Slots) -> None:
        """See `check`."""
        if row["node_id"] in slots.left_out:
            return  # one of several that it failed at once
        by_node, node = self._settings[kind_of(row["error_type"])], row["node_id"] or NOWHERE
        said = f"{row['error_type']} (on {row['hostname'] or 'a machine unknown'})"
        unfit = is_unfit(row["error_type"])
        known = [name for name in by_node if name != NOWHERE]
        if not unfit and len(known) > 1 and len(set().union(*by_node.values())) >= EQUAL_ERRORS:
            raise _ended(f"Trials with different settings end in the same error on {len(known)} nodes: {said}")
        if node != NOWHERE and (unfit or len(by_node[node]) >= EQUAL_ERRORS):
            if slots.without(node).has_room():
                raise SickNode(node, said)
            if unfit:
                raise _ended(f"No machine is left that trials could run on: {said}")
        if list(self._latest).count(kind_of(row["error_type"])) == EQUAL_ERRORS:
            raise _ended(f"The latest {EQUAL_ERRORS} trials have all ended in the same error: {said}")


def kind_of(error_type: str | None) -> str:
    """An error without the numbers in its message, which may be of its trial."""
    return re.sub(r"\d+", "#", error_type or "")


def is_unfit(error_type: str | None) -> bool:
    """Whether a trial found that it cannot run on its machine."""
    return (error_type or "").startswith(UnfitMachine.__name__)


def _ended(what: str) -> Faults:
    return Faults([f"{what.rstrip('.')}. Once that is mended, `--resume` runs them again."])
