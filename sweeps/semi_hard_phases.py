"""Semi-hard triplets, backbone frozen at first: what do the fallback, mirrored digits and an untrained last layer do?

python sweeps/semi_hard_phases.py                    a first look on embedded digits, minutes on a laptop
python sweeps/semi_hard_phases.py --preset mnist     60,000 digits, judged on the 10,000 test images (an hour, 2 cores)
python sweeps/semi_hard_phases.py --preset few       many classes, at most 20 images each: recall on unseen classes
python sweeps/semi_hard_phases.py --preset features  the same on frozen ImageNet features
python sweeps/semi_hard_phases.py --preset study3    the published network and phases on MNIST (a GPU)
python sweeps/semi_hard_phases.py --help             every flag

The study behind it: TensorFlow Addons' loss, ResNet-34, digits flipped by mistake, last layer probably never trained.
"""

import sys
from dataclasses import replace

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Factor, Outcome, Preset, Range

CROSSED = {(fallback, flip): Cell(levels={"fallback": fallback, "flip": flip})
           for fallback in ("farthest", "nearest") for flip in (False, True)}  # fmt: skip
BASE = CROSSED["farthest", False].cell_id
UNTRAINED = Cell(levels={"train_last_layer": False})
UNFROZEN = Cell(levels={"freeze_epochs": 0}, fixed={"unfrozen_lr": None})
FEW = {fallback: Cell(levels={"loss": "semihard", "fallback": fallback}) for fallback in ("farthest", "nearest")}
CLASSIFIERS = {"ArcFace": Cell(levels={"loss": "arcface"}, fixed={"margin": 0.5}),
               "softmax": Cell(levels={"loss": "softmax"})}  # fmt: skip

ON_TEST = Estimand(code="E1", name="", control=(BASE,), treatment=("",), label="")
ON_UNSEEN = replace(ON_TEST, control=(FEW["farthest"].cell_id,))

DESIGN = Design(
    name="semi_hard_phases",
    question="Semi-hard triplets: what do the fallback, mirroring, a frozen phase, an untrained last layer change?",
    published="study3",
    factors=(Factor(name="lr", role="nuisance", domain=Range(3e-4, 3e-2, log=True)),),
    outcomes=(
        Outcome(name="knn_accuracy", column="test_fitted_knn_accuracy", label="kNN accuracy on test images",
                sesoi=0.001, validation="val_knn_accuracy"),
        Outcome(name="recall_at_1", column="test_recall_at_1", label="recall@1 on test images", sesoi=0.01,
                validation="val_recall_at_1"),
        Outcome(name="unseen_recall_at_1", column="unseen_recall_at_1", label="recall@1 on unseen classes", sesoi=0.01,
                validation="val_recall_at_1"),
    ),
    cells=(*CROSSED.values(), UNTRAINED, UNFROZEN, *FEW.values(), *CLASSIFIERS.values()),
    estimands=(
        replace(ON_TEST, name="flip", label="mirroring", control=tuple(CROSSED[f, False].cell_id for f in FEW),
                treatment=tuple(CROSSED[f, True].cell_id for f in FEW)),
        replace(ON_TEST, name="fallback", label="the nearest negative as fallback",
                control=tuple(CROSSED["farthest", f].cell_id for f in (False, True)),
                treatment=tuple(CROSSED["nearest", f].cell_id for f in (False, True))),
        replace(ON_TEST, name="last layer", label="an untrained last layer", treatment=(UNTRAINED.cell_id,)),
        replace(ON_TEST, name="frozen phase", label="skipping the frozen phase", treatment=(UNFROZEN.cell_id,),
                family="exploratory"),
        replace(ON_UNSEEN, name="fallback", label="the nearest negative as fallback",
                treatment=(FEW["nearest"].cell_id,)),
        *(replace(ON_UNSEEN, name=f"{loss} against semi-hard", label=f"{loss} (against semi-hard)",
                  treatment=(cell.cell_id,)) for loss, cell in CLASSIFIERS.items()),
    ),
    fixed={
        "loss": "semihard", "distance": "sql2", "margin": 1.0, "batch_size": 128, "embedding_dim": 64,
        "head": "study3", "dropout": 0.25, "augmentation": "affine", "flip": False, "optimizer": "adamw",
        "schedule": "one_cycle", "lr": 5e-3, "unfrozen_lr": 5e-3, "norm_kind": "batch", "classifiers": True,
    },
    datasets={
        "plankton": {"unseen_classes": 60, "max_images_per_class": 20, "val_share": 0.25, "image_size": 32,
                     "flip": True},
    },
    presets={
        "quick": Preset(
            takes="1 to 2 min on 2 CPU cores",
            purpose="a first look in minutes on a CPU, nothing tuned", dataset="digits", epochs=12, replicates=7,
            confirm="drop-in", cells=(*(c.cell_id for c in CROSSED.values()), UNTRAINED.cell_id, UNFROZEN.cell_id),
            fixed={"views": "pca", "freeze_epochs": 3}, next_command="--preset mnist",
        ),
        "mnist": Preset(
            takes="36 min on 2 CPU cores",
            purpose="the same on 60,000 digits: fitted SVM and kNN on the 10,000 test embeddings", dataset="mnist",
            epochs=3, replicates=7, confirm="drop-in",
            cells=(*(c.cell_id for c in CROSSED.values()), UNTRAINED.cell_id, UNFROZEN.cell_id),
            fixed={"freeze_epochs": 1, "val_share": 0.05, "views": "pca"},
        ),
        "few": Preset(
            purpose="61 classes of 20 images at most, 60 others unseen: both fallbacks, ArcFace and softmax, tuned",
            dataset="plankton", epochs=30, replicates=6, blocks=2, points=4, confirm="best of tune",
            outcome="unseen_recall_at_1",
            cells=(*(c.cell_id for c in FEW.values()), *(c.cell_id for c in CLASSIFIERS.values())),
            fixed={"unfrozen_lr": None, "views": "pca"},
        ),
        # Mirroring changes pixels, and a frozen phase has an end: neither is asked of features that never change.
        "features": Preset(
            purpose="`few` on frozen ImageNet features: both fallbacks, ArcFace and softmax, ten tunings",
            dataset="plankton", epochs=30, replicates=10, blocks=2, points=4, confirm="best of tune",
            outcome="unseen_recall_at_1",
            cells=(*(c.cell_id for c in FEW.values()), *(c.cell_id for c in CLASSIFIERS.values())),
            fixed={"backbone": "efficientnet_lite0", "weights": "imagenet", "input_scaling": "imagenet",
                   "image_size": 128, "freeze_epochs": 30, "head": "mlp", "augmentation": "none",
                   "flip": None, "unfrozen_lr": None, "views": "pca"},
        ),
        "study3": Preset(
            purpose="ResNet-34 with ImageNet weights, 10 epochs frozen and 20 unfrozen, as published (a GPU)",
            dataset="mnist", epochs=30, replicates=12, confirm="drop-in",
            cells=(*(c.cell_id for c in CROSSED.values()), UNTRAINED.cell_id),
            fixed={"backbone": "resnet34", "weights": "imagenet", "input_scaling": "imagenet", "embedding_dim": 128,
                   "freeze_epochs": 10, "lr": 5e-2, "unfrozen_lr": 1e-4, "backbone_lr_ratio": 0.1, "val_share": 0.05},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
