"""A property holds or has a sentence that says how it does not; and two properties that every part shares."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from embedding_core.config.train_config import TrainConfig
from embedding_core.plugins.sources import Source, in_use, use
from embedding_core.storage.result_tables import Row
from embedding_core.train import train

TIMING = ("elapsed_s", "train_s")
"""Columns of a row in which a run may differ from the same run."""

RESUMES, TRAVELS = "resume bit for bit", "travels to workers"
"""Names of the shared properties."""

Property = Callable[[], str]
"""Tries it; how it is broken, or nothing."""


class NotConforming(AssertionError):
    """A part that lacks a property; `broken` has what was found, by the name of the property."""

    def __init__(self, what: str, broken: Mapping[str, str]) -> None:
        self.broken = dict(broken)
        super().__init__("\n".join(f"{what}: not {name}: {how}" for name, how in broken.items()))


def tried(properties: Mapping[str, Property]) -> dict[str, str]:
    """How each is broken, in their order; empty: it holds. What a stranger's code raises breaks the property."""
    found = {}
    for name, property_ in properties.items():
        try:
            found[name] = property_()
        except Exception as error:  # noqa: BLE001
            found[name] = f"{type(error).__name__}: {error}"
    return found


def check(what: str, properties: Mapping[str, Property]) -> None:
    """Try all.

    Raises:
        NotConforming: with every property that does not hold.
    """
    broken = {name: how for name, how in tried(properties).items() if how}
    if broken:
        raise NotConforming(what, broken)


def resumed(config: TrainConfig) -> str:
    """Whether a run that is interrupted after its first epoch gives the rows of one that is not."""
    whole = _untimed(list(train(config)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.pt"
        list(islice(train(config, save_to=file, save_every_s=0), 1))
        again = _untimed(list(train(config, resume=file)))
    if len(again) != len(whole):
        return f"{len(whole)} epochs without an interruption, {len(again)} with one"
    for before, after in zip(whole, again, strict=True):
        differing = [name for name in before if before[name] != after.get(name)]
        if differing:
            name = differing[0]
            return f"epoch {before['epoch']}: {name} is {before[name]} without an interruption, {after[name]} with one"
    return ""


@contextmanager
def elsewhere(config: TrainConfig) -> Iterator[TrainConfig]:
    """The configuration as a worker has it, which runs the plug-ins anew from what is sent to it."""
    sent = json.dumps([[asdict(source) for source in in_use()], config.to_flat()])
    use(())
    sources, flat = json.loads(sent)
    use([Source(**source) for source in sources])
    yield TrainConfig.from_flat(flat)


def _untimed(rows: list[Row]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMING} for row in rows]


def apart(found: Tensor, expected: Tensor, what: str, *, close: float) -> str:
    """How far two tensors are apart that must be equal but for rounding; `close`: relative error that is allowed."""
    error = float((found - expected).norm() / expected.norm().clamp(min=1e-12))
    return f"{what} differ by {error:.2g} of their size" if error > close else ""
