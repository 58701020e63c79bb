"""Plug-ins written on the spot; no test leaves one behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedding_core.plugins.sources import use

LOSS = """
from embedding_core.plugins import loss

@loss("{name}", sees="batch")
def made(alpha: float = {alpha}, power: int = 2, kind: str = "plain", twice: bool = False):
    return lambda z, labels: alpha * (z @ z.T).pow(power).mean()
"""


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    use(())


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """`write(text, file=)` -> the file; without a text a loss `mine`."""

    def write(text: str = LOSS.format(name="mine", alpha=0.5), file: str = "mine.py") -> str:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
        return str(tmp_path / file)

    return write
