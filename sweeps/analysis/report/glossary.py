"""What the terms of a report mean: those that it uses, in a list, each linked where it first stands."""

import re
from collections.abc import Iterable
from typing import Final

from markupsafe import Markup, escape

from sweeps.analysis.document import Report, Section, Table

HEADING: Final = "Glossary"

TERMS: Final = {
    "A/A control": "Pairs of runs of the same computation: what rounding alone makes of training.",
    "anytime-valid": "Of an interval: holds however often one looks while replicates are added.",
    "ASHA": "Asynchronous successive halving: trials that trail at fixed marks are stopped early.",
    "AUC": "Area under the ROC curve of telling pairs of one class from pairs of two, with one threshold for all.",
    "block": "One fresh seed on which all cells are trained, so that they can be compared in pairs.",
    "Bonferroni": "All intervals of a family are widened so that they hold at once in 95 % of sweeps.",
    "cell": "A combination of the levels that are compared, such as KoLeo on with K = 4.",
    "contrast": "A weighted difference of cells: treatment less control, or a difference of such differences.",
    "detectable": "The effect that a sweep of this size finds four times in five; a range, as the spread is estimated.",
    "effective rank": "How many directions the embeddings use: the exponential of the entropy of their spectrum.",
    "drop-in": "Without tuning: a treatment is added at the settings that are there.",
    "exploratory": "Not adjusted for how many were looked at: a suggestion for what to look at next, not a claim.",
    "interaction": "How much the effect of one factor differs between the levels of another.",
    "K": "Gradient accumulation steps: micro-batches whose gradients make up one step of the optimiser.",
    "KoLeo": "A regulariser that pushes each embedding away from its nearest neighbour in the (micro-)batch.",
    "leave-one-out kNN": "An image is given the class of its nearest other images.",
    "MAP@R": "Mean average precision among the R nearest images, where R is the size of the class.",
    "micro-batch": "The images of one forward pass, B / K of the B of an optimiser step; no others are seen.",
    "P(A > B)": "Share of units in which the treatment came out above the control, with its Wilson interval.",
    "pilot": "Too few independent units for a verdict: an interval and no more.",
    "primary": "A contrast named in advance to answer the question; it alone has a verdict.",
    "recall at 1": "Share of images whose nearest other image is of their class; also recall@1, R@1.",
    "replicate": "An independent repetition of the whole comparison: images drawn, settings tuned and seeds afresh.",
    "SESOI": "Smallest effect size of interest: a difference below it would not matter.",
    "SD": "Standard deviation.",
    "uniformity": "How evenly the embeddings cover the sphere; lower is more even.",
    "variance due to tuning": "The share of the spread between replicates that tuning anew makes, and not the seeds.",
    "winner's curse": "The best of several settings is partly the luckiest, and does worse on fresh seeds.",
}
"""Term -> its meaning."""

PATTERNS: Final = {
    term: re.compile(
        rf"(?<![\w@=-]){re.escape(str(escape(term)))}(?![\w@])", 0 if term[:1].isupper() else re.IGNORECASE
    )
    for term in TERMS
}
"""In escaped text."""


def slug(term: str) -> str:
    """The address of a term in the page."""
    return "g-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def glossary(texts: Iterable[str]) -> Section:
    """The terms that the texts have."""
    whole = str(escape("\n".join(texts)))
    used = [term for term in TERMS if PATTERNS[term].search(whole)]
    rows = [[term, TERMS[term]] for term in used]
    return Section(HEADING, tables=[Table(["term", "meaning"], rows)] if rows else [])


def texts_of(report: Report) -> list[str]:
    """All that is linked, in the order of the page."""
    texts = list(report.first.answer) if report.first is not None else []
    if report.first is not None:
        texts += [*(report.first.table.header if report.first.table is not None else []), report.first.note]
        texts += [*report.first.caveats, report.first.ran]
    for section in report.sections:
        texts += [*section.paragraphs, *(cell for table in section.tables for cell in table.header)]
        texts += [row[0] for table in section.tables for row in table.rows]
    return texts


class Linker:
    """Links terms of the glossary where they first stand; one for each page."""

    def __init__(self, report: Report) -> None:
        rows = [row for s in report.sections if s.heading == HEADING for table in s.tables for row in table.rows]
        self.left = [term for term, _ in rows]

    def __call__(self, text: str) -> Markup:
        """The text, escaped, with links from terms that no earlier text has."""
        out = str(escape(text))
        for term in sorted(self.left, key=len, reverse=True):
            found = PATTERNS[term].search(out)
            # Inside a link that an earlier, longer term has made there is none.
            if found is None or out.count("<a ", 0, found.start()) > out.count("</a>", 0, found.start()):
                continue
            if out.rfind("<", 0, found.start()) > out.rfind(">", 0, found.start()):
                continue
            link = f'<a class="term" href="#{slug(term)}">{found.group()}</a>'
            out = out[: found.start()] + link + out[found.end() :]
            self.left.remove(term)
        return Markup(out)
