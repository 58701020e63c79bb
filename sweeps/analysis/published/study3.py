"""Ours beside the published figures of study 3: semi-hard triplets on MNIST, frozen and then unfrozen."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from sweeps.analysis.document import Section, Table
from sweeps.analysis.published.published import Settings, differs, four, mean
from sweeps.analysis.stats.curves import Run, runs_of
from sweeps.analysis.wording import number

HEADING: Final = "Beside study 3"

DATASET: Final = "mnist"

FROZEN_LOSS: Final = 0.0792
UNFROZEN_LOSS: Final = 0.0572
ACCURACY: Final = 0.993
"""About; of a linear SVM or of kNN, which is not said, fitted to the 60,000 training embeddings."""

SETTINGS: Final[Settings] = {
    "backbone": ("resnet34",),
    "weights": ("imagenet",),
    "head": ("study3",),
    "dropout": (0.25,),
    "embedding_dim": (128,),
    "margin": (1.0,),
    "distance": ("sql2",),
    "fallback": ("farthest",),
    "augmentation": ("affine",),
    "flip": (True,),
    "batch_size": (128,),
    "optimizer": ("adamw",),
    "schedule": ("one_cycle",),
    "lr": (5e-2,),
    "unfrozen_lr": (1e-4,),
    "backbone_lr_ratio": (0.1,),
    "freeze_epochs": (10,),
    "epochs": (30,),
}
"""How the study trained; what a sweep has otherwise is told."""

EVALUATION: Final = (
    "The study reports one run, its loss on the 10,000 test images after the frozen and after the unfrozen epochs, and "
    "one accuracy. Ours are means over blocks: the loss on validation images, which are part of the 60,000, and both "
    "classifiers, fitted to all training embeddings, on the 10,000 test images."
)


def section(trials: pa.Table, curves: pa.Table, cells: Sequence[str]) -> Section:
    """The table and what differs; empty unless confirm runs trained the semi-hard loss on MNIST.

    Args:
        trials: with the column `stage`.
        curves: with the column `stage`.
        cells: rows of the table, as far as they fit.
    """
    columns = ("dataset", "loss", "test_fitted_svm_accuracy", "test_fitted_knn_accuracy", *SETTINGS)
    runs = {
        cell: [run for run in own if (run.trial["loss"], run.trial["dataset"]) == ("semihard", DATASET)]
        for cell, own in runs_of(trials, curves, cells, ("val_loss",), of_trial=columns).items()
    }
    there = {cell: own for cell, own in runs.items() if own}
    if not there:
        return Section(HEADING)
    published = [
        "published",
        four(FROZEN_LOSS),
        four(UNFROZEN_LOSS),
        f"about {number(ACCURACY)} (this or kNN)",
        "",
        "1",
    ]
    table = Table(
        ["", "validation loss, frozen", "validation loss, at the end", "fitted SVM", "fitted kNN", "runs"],
        [published, *([cell, *_texts(own), str(len(own))] for cell, own in there.items())],
    )
    rows = [run.trial for own in there.values() for run in own]
    return Section(HEADING, [EVALUATION, differs(rows, SETTINGS)], tables=[table])


def _texts(runs: Sequence[Run]) -> list[str]:
    losses = [dict(run.line("val_loss")) for run in runs]
    trials: list[Mapping[str, Any]] = [run.trial for run in runs]
    frozen = [loss.get(trial["freeze_epochs"] or 0) for loss, trial in zip(losses, trials, strict=True)]
    last = [loss[max(loss)] if loss else None for loss in losses]
    return [
        mean(frozen),
        mean(last),
        mean(trial["test_fitted_svm_accuracy"] for trial in trials),
        mean(trial["test_fitted_knn_accuracy"] for trial in trials),
    ]
