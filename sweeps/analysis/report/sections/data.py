"""What a sweep read when it began, in a table: images, what was passed over, broken, there twice, and guessed."""

from collections.abc import Iterator, Sequence
from typing import Final

from sweeps.analysis.document import Section, Table

ABOUT: Final = (
    "What was taken for what when the sweep began, so that a wrong guess can be seen. The sweep's "
    "plan.json pins training images, test images and files of weights by their content: it goes on with the same alone."
)

ROWS: Final = {
    "images": "Read",
    "broken": "Broken",
    "copies": "Copies",
    "batch": "Batch size",
    "loss": "Loss",
}
"""What a line of `plan.json` begins with, and what a reader is told that it is about."""

OVER: Final = "passed over: "


def section(lines: Sequence[str]) -> Section:
    """The section of what a sweep said of its data; how test classes relate to trained ones its rows tell elsewhere.

    Args:
        lines: of `plan.json`, each `NAME: SENTENCE`.
    """
    rows = [[what, f"{sentence[:1].upper()}{sentence[1:]}."] for what, sentence in _told(lines)]
    return Section("Data", [ABOUT], tables=[Table(["about", "what"], rows)]) if rows else Section("Data")


def _told(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, sentence = line.partition(":")
        read, _, over = sentence.strip().removesuffix(".").partition(OVER)
        if name not in ROWS:
            continue
        parts = read.removesuffix("; ").split("; ") if name == "images" else [read]
        yield from ((ROWS[name], part) for part in parts)
        if over:
            yield "Passed over", over
