"""What a sweep asks of held-out images, and whether they can answer: told before the first trial."""

from dataclasses import replace
from typing import Final

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from embedding_core.data.splits import Split
from embedding_core.errors import Faults
from embedding_core.evaluation.held_out_sets import held_out_images
from embedding_core.wording import plural
from sweeps.cli.plan_checks import distinct
from sweeps.design.plan import Plan

OF_TRAINED_CLASSES: Final = ("test_accuracy", "test_fitted_svm_accuracy", "test_fitted_knn_accuracy")
"""Columns that need test images of classes that are trained on."""

GUESSES: Final = {"batch_size": "batch:", "loss": "loss:"}
"""Heading of the line on each field that may be made to fit the data; see `batch_guess.fitted`."""


def held_out_faults(plan: Plan, data: DeviceData, split: Split) -> list[str]:
    """What the confirmation asks of the held-out images that they cannot answer.

    Raises:
        Faults: a file that is broken, or a part that nothing can be measured on.
    """
    held_out_images(data, split)  # decoded now: a broken file must not show after hours of training
    faults: list[str] = []
    for config in distinct(plan, "eval_test", "classifiers", "probes"):
        if config.eval_test:
            try:
                held_out_images(data, split, classifiers=config.classifiers, probes=config.probes)
            except Faults as error:
                faults += error.faults
    overlap = data.overlap(split)
    if overlap.disjoint and plan.outcome.column in OF_TRAINED_CLASSES:
        others = [one.name for one in plan.design.outcomes if one.column not in OF_TRAINED_CLASSES]
        faults.append(
            f"`--outcome {plan.outcome.name}` needs test images of classes that are trained on, but the "
            f"{overlap.images:,} test images of `{data.name}` are of {plural(overlap.classes, 'class')} of their own"
            + (f": take {' or '.join(others)}." if others else ".")
        )
    return faults


def lines_on_data(plan: Plan, data: DeviceData) -> list[str]:
    """What is to be known of the images: what was read, other classes in the test split, copies across parts."""
    config = TrainConfig.from_flat({**plan.run_base, "seed": plan.block_seed(1)})
    split = data.split(config)
    classes = data.overlap(split).sentence() if "confirm" in plan.stages else ""
    as_it_is = split if config.duplicates != "drop" else data.split(replace(config, duplicates="keep"))
    copies = data.shared(as_it_is).sentence()
    if copies and as_it_is is not split:
        copies += "; these and other copies are left out of training and validation"
    broken = data.broken_told(test="confirm" in plan.stages)
    named = {"images:": data.told(), "broken:": broken, "copies:": copies, "test set:": classes}
    lines = [f"{name:<10} {sentence}" for name, sentence in named.items() if sentence]
    return [*lines, *(f"{GUESSES[name]:<10} {sentence}" for name, sentence in plan.guessed.items())]
