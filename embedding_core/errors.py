"""Errors a user can act on: the invariant, the values, the nearest known name, all faults at once."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class Faults(ValueError):
    """One or more things wrong with what the user asked for; raised before any work starts."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type["Faults"], tuple[tuple[str, ...]]]:
        """Pickle by the faults, not by their joined text: trials run in other processes than their driver."""
        return type(self), (self.faults,)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Sentence for a name that does not exist, with the nearest known one and the whole list."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"Unknown {kind} `{name}`.{hint} Known: {', '.join(names)}."
