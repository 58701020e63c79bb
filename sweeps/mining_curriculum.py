"""Which triplets should be mined, and does ArcFace do better? Judged on classes never trained on.

python sweeps/mining_curriculum.py                      a first look on embedded digits, minutes on a laptop
python sweeps/mining_curriculum.py --preset features    plankton on frozen ImageNet features of a smaller network
python sweeps/mining_curriculum.py --preset plankton    all policies on 9 plankton classes, tuned (two hours, 2 cores)
python sweeps/mining_curriculum.py --preset study2      the published network: frozen ImageNet features (a GPU)
python sweeps/mining_curriculum.py --help               every flag

The study behind it: triplets mined easy/semi-hard, then easy/hard, then hard/hard, against ArcFace, on frozen features.
"""

import sys
from dataclasses import replace

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Factor, Outcome, Preset, Range

FIXED_POLICIES = ("easy/semihard", "easy/hard", "hard/semihard", "hard/hard")
POLICIES = ("curriculum", *FIXED_POLICIES, "random", "all/all")
MARGINS = (0.2, 0.3)
"""Beside .5, which the others have."""

MINED = {policy: Cell(levels={"mining": policy}) for policy in POLICIES}
WIDER = [Cell(levels={"mining": policy, "margin": margin}) for policy in POLICIES for margin in MARGINS]
ARCFACE = Cell(levels={"loss": "arcface"})
SOFTMAX = Cell(levels={"loss": "softmax"})
AT_HALF = tuple(cell.cell_id for cell in (*MINED.values(), ARCFACE, SOFTMAX))
CURRICULUM = (MINED["curriculum"].cell_id,)


ON_UNSEEN = Estimand(code="E1", name="", control=("",), treatment=CURRICULUM, label="")
EXPLORED = replace(ON_UNSEEN, family="exploratory")

DESIGN = Design(
    name="mining_curriculum",
    question="Which mining of triplets, or ArcFace instead, gives embeddings that also tell unseen classes apart?",
    published="study2",
    factors=(Factor(name="lr", role="nuisance", domain=Range(2e-4, 1e-2, log=True)),),
    outcomes=(
        Outcome(name="unseen_auc", column="unseen_auc", label="AUC on unseen classes", sesoi=0.01,
                validation="val_auc"),
        Outcome(name="unseen_recall_at_1", column="unseen_recall_at_1", label="recall@1 on unseen classes", sesoi=0.01,
                validation="val_recall_at_1"),
    ),
    cells=(*MINED.values(), *WIDER, ARCFACE, SOFTMAX),
    estimands=(
        replace(ON_UNSEEN, name="curriculum against fixed policies", label="the curriculum (against fixed policies)",
                control=tuple(MINED[policy].cell_id for policy in FIXED_POLICIES)),
        replace(ON_UNSEEN, name="curriculum against random", label="the curriculum (against random triplets)",
                control=(MINED["random"].cell_id,)),
        replace(ON_UNSEEN, name="ArcFace against curriculum", label="ArcFace (against the curriculum)",
                control=CURRICULUM, treatment=(ARCFACE.cell_id,)),
        replace(EXPLORED, name="ArcFace against softmax", label="ArcFace (against softmax)",
                control=(SOFTMAX.cell_id,), treatment=(ARCFACE.cell_id,)),
        *(replace(EXPLORED, name=f"{policy} against curriculum", label=f"{policy} (against the curriculum)",
                  control=CURRICULUM, treatment=(cell.cell_id,)) for policy, cell in list(MINED.items())[1:]),
        *(replace(EXPLORED, name=f"{cell.cell_id} against .5", label=f"{cell.cell_id} (against .5)",
                  control=(MINED[str(cell.levels["mining"])].cell_id,), treatment=(cell.cell_id,)) for cell in WIDER),
    ),
    fixed={
        "loss": "mined", "mining": "curriculum", "distance": "sql2", "margin": 0.5, "scale": 64.0, "batch_size": 128,
        "lr": 1.4e-3, "head": "study2", "dropout": 0.2, "embedding_dim": 128, "augmentation": "none", "probes": 10,
    },
    datasets={
        "digits": {"seen_classes": 7, "unseen_classes": 3, "head": "linear"},  # maps of one position: nothing to pool
        "plankton": {"seen_classes": 6, "unseen_classes": 3, "image_size": 32, "val_share": 0.15},
    },
    presets={
        "quick": Preset(
            takes="1 to 2 min on 2 CPU cores",
            purpose="a first look in minutes on a CPU, nothing tuned", dataset="digits", epochs=14, replicates=7,
            confirm="drop-in", cells=(*AT_HALF[:2], "mining=random", "mining=all/all", "loss=arcface", "loss=softmax"),
            fixed={"views": "pca", "probes": 5}, next_command="--preset features",
        ),
        # The largest 18 classes: 6 unseen ones have 5,562 images, enough for the study's 3,000 labels.
        "features": Preset(
            takes="about 40 min on 2 CPU cores",
            purpose="every policy at margin .5, ArcFace and softmax on frozen ImageNet features, six tunings",
            dataset="plankton", epochs=10, replicates=6, points=4, confirm="best of tune", cells=AT_HALF,
            fixed={"backbone": "efficientnet_lite0", "weights": "imagenet", "norm_kind": "batch", "image_size": 128,
                   "input_scaling": "imagenet", "freeze_epochs": 10, "head": "mlp", "seen_classes": 12,
                   "unseen_classes": 6, "val_images": 500, "views": "pca"},
        ),
        "plankton": Preset(
            purpose="every policy at margin .5, ArcFace, softmax and two more margins of the curriculum, tuned",
            dataset="plankton", epochs=10, replicates=6, points=4, confirm="best of tune",
            cells=(*AT_HALF, "mining=curriculum,margin=.2", "mining=curriculum,margin=.3"),
            fixed={"val_images": 400, "views": "pca"},
        ),
        "study2": Preset(
            purpose="the published network (frozen ImageNet features) and budget, every policy at every margin (a GPU)",
            dataset="plankton", epochs=35, replicates=8, blocks=2, points=8, confirm="best of tune",
            fixed={"backbone": "efficientnet_v2_s", "weights": "imagenet", "norm_kind": "batch", "image_size": 128,
                   "input_scaling": "imagenet", "freeze_epochs": 35},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
