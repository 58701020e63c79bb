"""Study 4: SimCLR, its loss held against what it can reach; one run each."""

import math

import numpy as np

from sweeps.analysis.numbers import ABSENT, is_number, mean_text, number
from sweeps.analysis.published.study import Ours, Study, StudyArm, StudyTable, at_the_end, count
from sweeps.analysis.stats.description.held_out import SHOWN_NEIGHBOURS

TEMPERATURE = 0.5


def floor(n: int, temperature: float = TEMPERATURE) -> float:
    """NT-Xent of a batch of `n` images in two views, which agree, while all negatives are orthogonal."""
    return math.log1p((2 * n - 2) * math.exp(-1 / temperature))


def chance(n: int) -> float:
    """NT-Xent of a batch of `n` images in two views whose embeddings are all alike."""
    return math.log(2 * n - 1)


def _iteration(name: str, loss: float, batch: int, nearest: float, fifth: float) -> StudyArm:
    """One iteration of the study; the similarities to a neighbour are by eye over STL-10."""
    told = {"loss": loss, "floor": floor(batch), "chance": chance(batch), "above the floor": loss - floor(batch)}
    similar = f"{number(nearest, decimals=2)}, {number(fifth, decimals=2)}"
    numbers = {measure: number(value) for measure, value in told.items()}
    return StudyArm(name=f"published: {name}", published=numbers | {"nearest, fifth neighbour": similar, "runs": "1"})


def _above(ours: Ours) -> str:
    ends = [run.epochs[-1] for run in ours.runs if run.epochs]
    bounded = [end for end in ends if is_number(end["loss_base"]) and is_number(end["loss_floor"])]
    return mean_text(end["loss_base"] - end["loss_floor"] for end in bounded)


def _neighbours(ours: Ours) -> str:
    """Cosine to the nearest and to the last neighbour shown, mean over queries and runs."""
    first, last = (
        ours.values(ours.views, split="test", view="neighbours", rank=rank) for rank in (1, SHOWN_NEIGHBOURS)
    )
    both = sorted(first.keys() & last.keys())
    means = [float(np.mean([side[trial] for trial in both])) for side in (first, last)] if both else []
    return ", ".join(number(mean, decimals=2) for mean in means) or ABSENT


STUDY = Study(
    name="study 4",
    evaluation="The study called its loss of 4.0917 still high, without its bounds: of N images in two views each, "
    "log(1 + (2N − 2) e^(−1/τ)) where all negatives are orthogonal, and log(2N − 1) where the other view is guessed. "
    "Ours are means over runs at the last epoch; similarities are means over the queries drawn of the test split in "
    "one block.",
    settings={
        "dataset": ("stl10", "caltech101"), "backbone": ("alexnet", "resnet50"), "weights": ("imagenet",),
        "image_size": (96, 200), "augmentation": ("study4_weak", "study4_strong"), "head_layers": (5,),
        "embedding_dim": (128,), "temperature": (TEMPERATURE,), "batch_size": (256, 512, 200), "optimizer": ("sgd",),
        "momentum": (0.0,), "schedule": ("anneal",), "lr": (0.1, 0.01), "backbone_lr_ratio": (0.1,), "epochs": (150,),
        "held_out_layer": ("backbone",),
    },
    # The study's sets, and natural images of their kind.
    runs={"loss": ("nt_xent",), "dataset": ("stl10", "stl10-unlabelled", "caltech101", "cifar10")},
    arms=(
        # Which batch the first one had is not said.
        _iteration("AlexNet, STL-10, if batch 256", 5.03, 256, 0.91, 0.88),
        _iteration("AlexNet, STL-10, if batch 512", 5.03, 512, 0.91, 0.88),
        _iteration("ResNet-50, Caltech-101, batch 200", 4.0917, 200, 0.84, 0.34),
    ),
    tables=(
        StudyTable(layout="arms and our cells down", measures={
            "loss": at_the_end("loss_base"),
            "floor": at_the_end("loss_floor"),
            "chance": at_the_end("loss_chance"),
            "above the floor": _above,
            "nearest, fifth neighbour": _neighbours,
            "runs": count,
        }),
    ),
)  # fmt: skip
