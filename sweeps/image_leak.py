"""What is it worth to tune on validation images that are also trained on, as study 1 did?

python sweeps/image_leak.py                     a first look on embedded digits, minutes on a laptop
python sweeps/image_leak.py --preset features   CIFAR-10 on frozen ImageNet features, ten tunings of each side
python sweeps/image_leak.py --help              every flag

Study 1 split its triplets and not its images: of its validation triplets 1.4 % are wholly unseen. Both sides are tuned
alike, each by its own validation images, and judged on the same test images, which neither ever saw.
"""

import sys

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Factor, Preset, Range

LITE0 = {"backbone": "efficientnet_lite0", "weights": "imagenet", "norm_kind": "batch", "input_scaling": "imagenet"}

DISJOINT, LEAKING = (Cell(levels={"triplets": kind}) for kind in ("disjoint", "study"))

DESIGN = Design(
    name="image_leak",
    question="Study 1's validation images are also trained on: what does that change on images that never were?",
    cells=(DISJOINT, LEAKING),
    factors=(
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
        Factor(name="margin", role="nuisance", domain=Range(0.2, 0.6)),
    ),
    estimands=(
        Estimand(code="E1", name="leak", label="training and tuning on study 1's triplets (against disjoint ones)",
                 control=(DISJOINT.cell_id,), treatment=(LEAKING.cell_id,)),
    ),
    fixed={"loss": "triplet", "distance": "cosine", "margin": 0.4, "batch_size": 64, "lr": 5e-4, "embedding_dim": 128},
    datasets={"digits": {"val_share": 0.2}, "cifar10": {"val_share": 0.05}},
    presets={
        "quick": Preset(
            takes="1 to 2 min on 2 CPU cores",
            purpose="a first look in minutes on a CPU, nothing tuned", dataset="digits", epochs=20, replicates=7,
            confirm="drop-in", fixed={"views": "pca"}, next_command="--preset features",
        ),
        "features": Preset(
            takes="10 min on 2 CPU cores",
            purpose="study 1's triplets against disjoint ones on frozen ImageNet features, ten tunings",
            dataset="cifar10", points=4, epochs=5, replicates=10, blocks=2, confirm="best of tune",
            fixed={**LITE0, "image_size": 128, "freeze_epochs": 5, "subset": 7125, "views": "pca"},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
