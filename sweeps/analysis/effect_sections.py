"""The sections on planned contrasts: effects, block by block, epoch by epoch."""

import re

from sweeps.analysis import figure_data, figures
from sweeps.analysis.findings import Finding
from sweeps.analysis.page import Picture, Section, transposed
from sweeps.analysis.wording import decimals_for, number, p_text, sesoi_text


def effects(found: list[Finding]) -> Section:
    """One column per estimated contrast: seven numbers fit a phone downwards, not across."""
    columns: dict[str, list[str]] = {}
    for finding in found:
        if finding.result is not None:
            effect, digits = finding.result[0], decimals_for(finding.result[0])
            low, high = (number(x, decimals=digits, signed=True) for x in (effect.ci_low, effect.ci_high))
            columns[f"{finding.contrast.treatment} − {finding.contrast.control}"] = [
                number(effect.estimate, decimals=digits, signed=True),
                f"{low} to {high}",
                p_text(effect.p_value),
                str(effect.n),
                f"±{sesoi_text(effect.sesoi)}",
                "yes" if effect.equivalent else "no",
                effect.verdict.replace("_", " "),
            ]
    names = ["effect", "95 % interval", "p (sign flip)", "n (blocks)", "SESOI", "90 % interval inside SESOI", "verdict"]
    return Section("Effect", tables=transposed("", names, columns))


def paired(found: list[Finding], dataset: str) -> list[Picture]:
    """Outcomes of each contrast, block by block."""
    pictures = []
    for i, finding in enumerate(found):
        if finding.result is not None:
            effect, blocks = finding.result
            data = figure_data.paired_data(blocks, effect, finding.contrast, dataset=dataset, note=finding.note)
            reading = (
                "Each line is one block: one seed, so the same split and triplets in both arms and, where their "
                "settings agree, the same initialisation, data order and augmentation."
            )
            pictures.append(Picture(_stem("paired", finding, i), figures.draw_paired(data), reading))
    return pictures


def by_epoch(found: list[Finding], dataset: str) -> list[Picture]:
    """The contrast at every epoch that all runs reached."""
    pictures = []
    for i, finding in enumerate(found):
        if finding.by_epoch:
            epochs = figure_data.epoch_data(finding.by_epoch, outcome="val_auc", dataset=dataset)
            reading = "The same blocks at every epoch, on the validation split. Exploratory: not corrected for looks."
            pictures.append(Picture(_stem("epochs", finding, i), figures.draw_epochs(epochs), reading))
    return pictures


def _stem(kind: str, finding: Finding, index: int) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", finding.contrast.estimand.lower()).strip("-") or "contrast"
    return f"{kind}-{slug}-{index + 1}" if index else f"{kind}-{slug}"
