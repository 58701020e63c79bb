"""Rows that a run can do without: what fails to make them costs them, never the results that the run was for."""

import logging
from collections.abc import Callable, Iterable

from embedding_core.storage.result_tables import Row

_logger = logging.getLogger(__name__)


class OptionalRows:
    """Makes rows that may fail, and remembers what did."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        """A sentence each: what there is not, and why."""

    def of(self, what: str, make: Callable[[], Iterable[Row]]) -> list[Row]:
        """The rows; none of them if making one fails.

        Args:
            what: names them, in `failed` and in the log.
            make: raises whatever libraries for drawing and projecting do.
        """
        try:
            return list(make())
        except Exception as error:  # a finished run's test scores are worth more than any view
            reason = str(error).strip().partition("\n")[0] or "no reason given"
            self.failed.append(f"{what}: {type(error).__name__}: {reason}")
            _logger.warning("No view %s", self.failed[-1], exc_info=True)
            return []
