"""The order of a sweep's report: its parts, and the sections of each."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from sweeps.analysis.document import Section

CONTENTS: Final = {
    "The answer in full": (
        "Effect", "KoLeo against accumulation", "Cells and contrasts", "At common settings", "Exploratory contrasts",
        "A/A controls", "Seed by seed", "Replicate by replicate",
    ),
    "How far it can be trusted": (
        "What this can and cannot say", "Data", "Sensitivity", "Winner's curse", "Failure risk",
    ),
    "What the models do": (
        "Accuracy", "Few labels", "Colour", "Cells", "Beside", "Learning curves", "Losses and similarities",
    ),
    "What changes inside": ("What changes in the embeddings", "Mechanism", "Embeddings"),
    "Settings and search": (
        "Tuned settings", "Settings", "Best configuration", "Configurations", "Search", "What stopping hid",
        "What the search alone would have suggested", "Importance of the settings in the search",
    ),
    "What ran": ("Runs per arm and ending", "Trials", "Relative cost", "Cost", "Provenance"),
    "Words": ("Glossary",),
}  # fmt: skip
"""Parts, and the headings of their sections; `Beside` stands for those of earlier studies."""

PLACES: Final = {
    heading: (place, part)
    for place, (part, heading) in enumerate((part, heading) for part, own in CONTENTS.items() for heading in own)
}


def arranged(sections: Iterable[Section]) -> list[Section]:
    """Sections that say something, each with its part, in the order of `CONTENTS`.

    Raises:
        KeyError: a heading is not in `CONTENTS`.
    """
    there = [s for s in sections if s.paragraphs or s.commands or s.tables or s.pictures or s.trials]
    placed = [(PLACES[_key(section)], section) for section in there]
    return [replace(section, part=part) for (_, part), section in sorted(placed, key=lambda one: one[0][0])]


def _key(section: Section) -> str:
    return "Beside" if section.heading.startswith("Beside ") else section.heading
