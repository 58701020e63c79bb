"""Study 1 (adlane98/koleo-study): KoLeo and accumulation on CIFAR-10, one run each.

Its 1,250 validation triplets were fixed, and 96 % of their negatives trained on.
"""

from sweeps.analysis.numbers import four
from sweeps.analysis.published.study import Ours, Study, StudyArm, StudyTable, at_the_end, count, none, of_trials


def _run(auc: float, intra: float, inter: float) -> dict[str, str]:
    """At its best epoch by validation AUC."""
    return {"AUC, published": four(auc), "within / between classes, published": f"{four(intra)} / {four(inter)}"}


def _distances(ours: Ours) -> str:
    return f"{at_the_end('val_intra')(ours)} / {at_the_end('val_inter')(ours)}"


STUDY = Study(
    name="study 1",
    evaluation="The study reports the best epoch of one run on validation triplets whose images were mostly trained "
    "on; its distances within a class count an image's distance to itself. Ours are means over runs: validation AUC "
    "on triplets, test AUC over all pairs of an untouched test split, distances on validation images without "
    "self-pairs.",
    settings={
        "backbone": ("vgg11",), "weights": ("imagenet",), "epochs": (15,), "triplets": ("study",),
        "subset": (None, 23750), "embedding_dim": (128,), "batch_size": (64,), "optimizer": ("adam",), "lr": (5e-4,),
        "margin": (0.4,), "koleo_weight": (0.1, None),
    },
    runs={"dataset": ("cifar10",), "loss": ("triplet",)},
    alone=True,
    arms=(
        StudyArm(name="without KoLeo", published=_run(0.9538, 0.2249, 1.0392),
            ours={"koleo": (False,), "accum_steps": (1,), "batch_size": (64,)}),
        StudyArm(name="KoLeo", published=_run(0.9433, 0.5202, 1.0350),
            ours={"koleo": (True,), "accum_steps": (1,), "batch_size": (64,)}),
        StudyArm(name="KoLeo, K=4", published=_run(0.9486, 0.4854, 1.0279),
            ours={"koleo": (True,), "accum_steps": (4,), "accum_mode": ("naive",), "batch_size": (64,)}),
    ),
    tables=(
        StudyTable(layout="arms across", measures={
            "AUC, published": none,
            "validation AUC, best epoch": of_trials("best_val_auc"),
            "validation AUC, last epoch": of_trials("final_val_auc"),
            "test AUC": of_trials("test_auc"),
            "within / between classes, published": none,
            "within / between classes": _distances,
            "our runs": count,
        }),
    ),
)  # fmt: skip
