"""Does KoLeo help embeddings, does gradient accumulation change that, and do the two interact?

python sweeps/koleo_accum.py                     a first answer on embedded images, minutes on a laptop
python sweeps/koleo_accum.py --loss semihard     the same for another loss
python sweeps/koleo_accum.py --preset study1     the published study's search: CIFAR-10, VGG11, 100 trials (a GPU)
python sweeps/koleo_accum.py --help              every flag
"""

import sys

from sweeps.engine.cli import main
from sweeps.engine.design import Cell, Contrast, Design, Factor, Levels, Preset, Range

DESIGN = Design(
    name="koleo_accum",
    question="Does the KoLeo regulariser help embeddings, and does gradient accumulation change that?",
    factors=(
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="accum_steps", role="scientific", domain=Levels((1, 2, 4))),
        Factor(name="batch_size", role="scientific", domain=Levels((64, 128))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when=("koleo", True)),
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
        Factor(name="margin", role="nuisance", domain=Range(0.2, 0.6)),
        Factor(name="embedding_dim", role="nuisance", domain=Levels((64, 128, 256))),
        Factor(name="optimizer", role="nuisance", domain=Levels(("adam", "rmsprop"))),
    ),
    cells=(
        Cell(levels={"koleo": False}),
        Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1}),
    ),
    contrasts=(
        Contrast(estimand="koleo", control="koleo=off", treatment="koleo=on", label="KoLeo (weight {koleo_weight})"),
    ),
    fixed={"loss": "triplet", "distance": "cosine", "margin": 0.4, "batch_size": 64, "lr": 5e-4, "embedding_dim": 128},
    datasets={
        "digits": {"val_share": 0.2},  # 1,797 images: a twentieth would leave 70 to validate on
        "cifar10": {"val_share": 0.05},  # 1,250 validation triplets, as many as study 1 had
    },
    presets={
        "quick": Preset(
            purpose="a first answer in minutes on a CPU, nothing tuned",
            dataset="digits",
            samples=8,
            epochs=20,
            blocks=7,
            confirm="drop-in",
            fixed={"views": "pca"},  # UMAP's first start compiles for half a minute
            next_command="--dataset cifar10 --train-triplets 10000 --samples 16 --epochs 4",
        ),
        "study1": Preset(
            purpose="the published search on its leaking triplets, then the best of both arms on untouched images",
            dataset="cifar10",
            samples=100,
            epochs=15,
            blocks=7,
            confirm="best of search",
            fixed={"backbone": "vgg11", "norm_kind": "none", "weights": "imagenet", "triplets": "study"},
            first_trials=(
                {
                    "koleo": False,
                    "accum_steps": 1,
                    "batch_size": 64,
                    "lr": 1.61e-4,
                    "margin": 0.265,
                    "embedding_dim": 128,
                    "optimizer": "adam",
                },
            ),
        ),
    },
)

if __name__ == "__main__":
    sys.exit(main(DESIGN))
