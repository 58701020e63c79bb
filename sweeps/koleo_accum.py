"""Does KoLeo help embeddings, does gradient accumulation change that, and do the two interact?

python sweeps/koleo_accum.py                     a first answer on embedded images, minutes on a laptop
python sweeps/koleo_accum.py --loss semihard     the same for another loss
python sweeps/koleo_accum.py --preset minimal    every cell tuned, then 8 paired blocks: the three verdicts
python sweeps/koleo_accum.py --preset study1     the published study's search: CIFAR-10, VGG11, 100 trials (a GPU)
python sweeps/koleo_accum.py --help              every flag
"""

import sys

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Factor, Levels, Preset, Range

WITH_MARGIN = ("triplet", "mined", "semihard", "arcface")
CROSSED = {"koleo": (False, True), "accum_steps": (1, 2, 4), "batch_size": (64, 128)}

DESIGN = Design(
    name="koleo_accum",
    question="Does the KoLeo regulariser help embeddings, does gradient accumulation change that, do the two interact?",
    factors=(
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="accum_steps", role="scientific", domain=Levels((1, 2, 4))),
        Factor(name="batch_size", role="scientific", domain=Levels((64, 128))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when=("koleo", (True,))),
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
        Factor(name="margin", role="nuisance", domain=Range(0.2, 0.6), when=("loss", WITH_MARGIN)),
        Factor(name="temperature", role="nuisance", domain=Range(0.05, 1.0, log=True), when=("loss", ("nt_xent",))),
        Factor(name="embedding_dim", role="fixed", domain=Levels((64, 128, 256))),
        Factor(name="optimizer", role="fixed", domain=Levels(("adam", "rmsprop"))),
    ),
    arms=(Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1})),
    estimands=(
        Estimand(code="E1", name="koleo", factor="koleo", label="KoLeo", drop_in_label="KoLeo (weight {koleo_weight})"),
        *(Estimand(code="E2", name=f"accumulation {with_it} KoLeo", factor="accum_steps", within={"koleo": koleo},
                   label=f"each doubling of accumulation steps, {with_it} KoLeo,")
          for with_it, koleo in (("with", True), ("without", False))),
        Estimand(code="E3", name="interaction", factor="koleo", times="accum_steps",
                 label="each doubling of accumulation steps", outcome_label="KoLeo's effect on AUC"),
        Estimand(code="E1", name="koleo at K={accum_steps}", factor="koleo", each="accum_steps",
                 label="KoLeo at K={accum_steps}", family="exploratory"),
        Estimand(code="E1", name="koleo at B={batch_size}", factor="koleo", each="batch_size",
                 label="KoLeo at B={batch_size}", family="exploratory"),
    ),
    controls=({"koleo": False, "accum_steps": 4}, {"koleo": True, "accum_steps": 4, "accum_mode": "cached"}),
    fixed={"loss": "triplet", "distance": "cosine", "margin": 0.4, "batch_size": 64, "lr": 5e-4, "embedding_dim": 128},
    datasets={
        "digits": {"val_share": 0.2},  # 1,797 images: a twentieth would leave 70 to validate on
        "cifar10": {"val_share": 0.05},  # 1,250 validation triplets, as many as study 1 had
    },
    presets={
        "quick": Preset(
            purpose="a first answer in minutes on a CPU, nothing tuned", dataset="digits", samples=8, epochs=20,
            blocks=7, confirm="drop-in", next_command="--preset minimal",
            fixed={"views": "pca"},  # UMAP's first start compiles for half a minute
        ),
        "study1": Preset(
            purpose="the published search on its leaking triplets, then the best of both arms on untouched images",
            dataset="cifar10", samples=100, epochs=15, blocks=7, confirm="best of search",
            fixed={"backbone": "vgg11", "norm_kind": "none", "weights": "imagenet", "triplets": "study"},
            first_trials=({"koleo": False, "accum_steps": 1, "batch_size": 64, "lr": 1.61e-4, "margin": 0.265,
                           "embedding_dim": 128, "optimizer": "adam"},),  # its best
        ),
        "minimal": Preset(
            purpose="KoLeo and accumulation with every cell tuned, the least that can give verdicts",
            dataset="digits", samples=16, points=8, epochs=20, confirm="best of tune",
            blocks=8,  # four primaries of a batch-coupled loss: with seven, Holm could never let one through
            levels={"koleo": (False, True), "accum_steps": (1, 4)}, fixed={"views": "pca"},
            next_command="--preset minimal --dataset cifar10 --train-triplets 5000 --epochs 4 --blocks 12",
        ),
        "standard": Preset(
            purpose="every K and both batch sizes, sixteen settings per cell, twelve blocks (wants a GPU)",
            dataset="cifar10", samples=64, points=16, epochs=15, blocks=12, confirm="best of tune", levels=CROSSED,
        ),
        "full": Preset(
            purpose="standard, repeated for each embedding size and optimiser (wants several GPUs)",
            dataset="cifar10", samples=100, points=16, epochs=15, blocks=12, confirm="best of tune",
            levels={**CROSSED, "embedding_dim": (64, 128, 256), "optimizer": ("adam", "rmsprop")},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
