"""What makes SimCLR's embeddings better: augmentation, similarity, scaling, optimiser, or a batch seen whole?

python sweeps/simclr.py                       a first look on embedded digits, minutes on a laptop
python sweeps/simclr.py --preset cifar10      every change on CIFAR-10, each tuned (two hours, 2 cores)
python sweeps/simclr.py --preset alexnet      the study's first network on STL-10, from scratch and pretrained (a GPU)
python sweeps/simclr.py --preset resnet50     its second on Caltech-101 (a GPU)
python sweeps/simclr.py --help                every flag

None of these trains on frozen features: SimCLR is judged by its backbone, which would never change.
The study behind it: NT-Xent with weak augmentations, a loss taken for high that was near its floor, no labels used.
"""

import sys
from dataclasses import replace

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Factor, Outcome, Preset, Range

BASE = Cell(levels={"augmentation": "simclr"})
WEAK = Cell(levels={"augmentation": "study4_weak"})
STRONG = Cell(levels={"augmentation": "study4_strong"})
DOT = Cell(levels={"similarity": "dot"})
SCALED = Cell(levels={"input_scaling": "imagenet"})
SGD = Cell(levels={"optimizer": "sgd"}, fixed={"schedule": "anneal", "warmup_epochs": 0, "momentum": 0.0},
           drop_in={"lr": 0.1})  # fmt: skip
NAIVE = Cell(levels={"accum_steps": 4, "accum_mode": "naive"})
CACHED = Cell(levels={"accum_steps": 4, "accum_mode": "cached"})
PRETRAINED = Cell(levels={"weights": "imagenet"}, fixed={"input_scaling": "imagenet"})
CHANGES = (BASE, WEAK, STRONG, DOT, SCALED, SGD, NAIVE, CACHED)

ON_TEST = Estimand(code="E1", name="", control=(BASE.cell_id,), treatment=("",), label="")
EXPLORED = replace(ON_TEST, family="exploratory")

DESIGN = Design(
    name="simclr",
    question="What do augmentation, similarity, input scaling, optimiser and accumulation do to SimCLR's embeddings?",
    published="study4",
    factors=(
        Factor(name="lr", role="nuisance", domain=Range(0.2, 12.8, log=True), when={"optimizer": ("lars",)}),
        Factor(name="lr", role="nuisance", domain=Range(0.01, 0.64, log=True), when={"optimizer": ("sgd",)}),
    ),
    outcomes=(
        Outcome(name="knn_accuracy", column="test_knn_accuracy", label="kNN accuracy on test images", sesoi=0.01,
                validation="val_knn_accuracy"),
        Outcome(name="recall_at_1", column="test_recall_at_1", label="recall@1 on test images", sesoi=0.01,
                validation="val_recall_at_1"),
    ),
    cells=(*CHANGES, PRETRAINED),
    estimands=(
        replace(ON_TEST, name="weak augmentation", label="weak augmentation", treatment=(WEAK.cell_id,)),
        replace(ON_TEST, name="naive accumulation", label="naive accumulation (K=4)", treatment=(NAIVE.cell_id,)),
        replace(ON_TEST, name="SGD with annealing", label="SGD with annealing (against LARS)",
                treatment=(SGD.cell_id,)),
        *(replace(EXPLORED, name=name, label=name, treatment=(cell.cell_id,)) for name, cell in (
            ("strong augmentation", STRONG), ("dot product", DOT), ("ImageNet scaling", SCALED),
            ("cached accumulation (K=4)", CACHED))),
        replace(EXPLORED, name="ImageNet weights", label="ImageNet weights (against none, scaled alike)",
                control=(SCALED.cell_id,), treatment=(PRETRAINED.cell_id,)),
        replace(EXPLORED, name="naive against cached", label="naive accumulation (against cached)",
                control=(CACHED.cell_id,), treatment=(NAIVE.cell_id,)),
    ),
    fixed={
        "loss": "nt_xent", "temperature": 0.5, "batch_size": 256, "head": "mlp", "embedding_dim": 128,
        "augmentation": "simclr", "optimizer": "lars", "schedule": "cosine", "warmup_epochs": 1, "weight_decay": 1e-6,
        "lr": 4.0, "held_out_layer": "backbone", "probes": 10,
    },
    datasets={"caltech101": {"image_size": 64, "batch_size": 128}, "stl10": {"image_size": 96}},
    presets={
        "quick": Preset(
            takes="1 to 2 min on 2 CPU cores",
            purpose="a first look in minutes on a CPU, nothing tuned", dataset="digits", epochs=10, replicates=7,
            confirm="drop-in", cells=tuple(cell.cell_id for cell in CHANGES if cell is not SCALED),
            fixed={"views": "pca", "probes": 5}, next_command="--preset cifar10",
        ),
        "cifar10": Preset(
            purpose="each change alone on 4,000 images of CIFAR-10, its rate tuned", dataset="cifar10", epochs=6,
            replicates=6, points=2, confirm="best of tune", cells=tuple(cell.cell_id for cell in CHANGES),
            fixed={"subset": 4000, "val_share": 0.05, "val_images": 500, "views": "pca"},
        ),
        "alexnet": Preset(
            purpose="the study's first iteration, AlexNet on STL-10, from scratch and pretrained (a GPU)",
            dataset="stl10", epochs=100, replicates=8, blocks=2, points=8, confirm="best of tune",
            fixed={"backbone": "alexnet", "norm_kind": "batch", "head_layers": 5, "backbone_lr_ratio": 0.1,
                   "warmup_epochs": 10},
        ),
        "resnet50": Preset(
            purpose="its second iteration, ResNet-50 on Caltech-101, from scratch and pretrained (a GPU)",
            dataset="caltech101", epochs=150, replicates=8, blocks=2, points=8, confirm="best of tune",
            fixed={"backbone": "resnet50", "norm_kind": "batch", "head_layers": 5, "backbone_lr_ratio": 0.1,
                   "warmup_epochs": 10, "image_size": 200, "batch_size": 200},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
