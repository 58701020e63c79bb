"""Does KoLeo help embeddings, does gradient accumulation change that, and do the two interact?

python sweeps/koleo_accum.py                      a first answer on embedded images, minutes on a laptop
python sweeps/koleo_accum.py --preset features    CIFAR-10 on frozen ImageNet features: verdicts that hold in a rerun
python sweeps/koleo_accum.py --loss arcface       the same for another loss
python sweeps/koleo_accum.py --preset minimal     a small network from scratch, every cell tuned eight times over
python sweeps/koleo_accum.py --preset study1      the published study's search: CIFAR-10, VGG11, 100 trials (a GPU)
python sweeps/koleo_accum.py --help               every flag
"""

import sys

from sweeps.cli.main import main
from sweeps.design import OF_PLUGINS, Cell, Design, Estimand, Factor, Levels, Preset, Range

WITH_MARGIN = ("triplet", "mined", "semihard", "arcface")
WITHOUT_TEMPERATURE = (*WITH_MARGIN, "softmax", OF_PLUGINS)
CONTRASTIVE = ("nt_xent",)
KOLEO = {"koleo": (False, True), "koleo_exclude_same_class": (False, True)}
ANY = {"koleo_exclude_same_class": False}

LITE0 = {"backbone": "efficientnet_lite0", "weights": "imagenet", "norm_kind": "batch", "input_scaling": "imagenet"}

DESIGN = Design(
    name="koleo_accum",
    question="Does the KoLeo regulariser help embeddings, does gradient accumulation change that, do the two interact?",
    factors=(
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="koleo_exclude_same_class", role="scientific", domain=Levels((False, True)),
               when={"koleo": (True,)}),
        Factor(name="accum_steps", role="scientific", domain=Levels((1, 2, 4))),
        Factor(name="batch_size", role="scientific", domain=Levels((64, 128))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1.0, log=True),
               when={"koleo": (True,), "loss": WITHOUT_TEMPERATURE}),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 30.0, log=True),
               when={"koleo": (True,), "loss": CONTRASTIVE}),  # copy detection gained until 30 (SSCD, 2022)
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
        Factor(name="margin", role="nuisance", domain=Range(0.2, 0.6), when={"loss": WITH_MARGIN}),
        Factor(name="temperature", role="nuisance", domain=Range(0.05, 1.0, log=True), when={"loss": CONTRASTIVE}),
        Factor(name="embedding_dim", role="fixed", domain=Levels((64, 128, 256))),
        Factor(name="optimizer", role="fixed", domain=Levels(("adam", "rmsprop"))),
    ),
    arms=(Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1})),
    estimands=(
        Estimand(code="E1", name="koleo", factor="koleo", label="KoLeo", drop_in_label="KoLeo (weight {koleo_weight})"),
        *(Estimand(code="E2", name=f"accumulation {with_it} KoLeo", factor="accum_steps", within={"koleo": koleo},
                   label=f"accumulation (K={{high}} against {{low}}) {with_it} KoLeo")
          for with_it, koleo in (("with", True), ("without", False))),
        Estimand(code="E3", name="interaction", factor="koleo", times="accum_steps",
                 label="accumulation (K={high} against {low})", outcome_label="KoLeo's effect on {outcome}"),
        *(Estimand(code="E1", name=f"koleo, {which} neighbours", factor="koleo", label=f"KoLeo ({which} neighbours)",
                   within={"koleo_exclude_same_class": other}, family="exploratory")
          for which, other in (("any", False), ("other-class", True))),
        Estimand(code="E1", name="other-class against any", factor="koleo_exclude_same_class", within={"koleo": True},
                 label="KoLeo with other-class neighbours (against any)", family="exploratory"),
        Estimand(code="E1", name="koleo at K={accum_steps}", factor="koleo", each="accum_steps",
                 label="KoLeo at K={accum_steps}", family="exploratory"),
        Estimand(code="E1", name="koleo at B={batch_size}", factor="koleo", each="batch_size",
                 label="KoLeo at B={batch_size}", family="exploratory"),
        Estimand(code="E2", name="doubling of K with KoLeo", factor="accum_steps", within={"koleo": True}, slope=True,
                 label="each doubling of K with KoLeo", family="exploratory"),
    ),
    controls=({"koleo": False, "accum_steps": 4}, {"koleo": True, "accum_steps": 4, "accum_mode": "cached"}),
    fixed={"loss": "triplet", "distance": "cosine", "margin": 0.4, "batch_size": 64, "lr": 5e-4, "embedding_dim": 128},
    datasets={
        "digits": {"val_share": 0.2},  # 1,797 images: a twentieth would leave 70 to validate on
        "cifar10": {"val_share": 0.05},  # 1,250 validation triplets, as many as study 1 had
    },
    presets={
        "quick": Preset(
            takes="3 min on 2 CPU cores",
            purpose="a first answer to all three questions in minutes on a CPU, nothing tuned", dataset="digits",
            samples=8, epochs=20, replicates=7, confirm="drop-in",
            levels={"koleo": (False, True), "accum_steps": (1, 4)},
            fixed={"loss": "semihard", "views": "pca", **ANY},  # UMAP's first start compiles for half a minute
            next_command="--preset features",
        ),
        "features": Preset(
            takes="15 to 20 min on 2 CPU cores, once 5 more for the features",
            purpose="KoLeo (any or other-class neighbours) and accumulation on frozen ImageNet features, ten tunings",
            dataset="cifar10", points=4, epochs=5, replicates=10, blocks=2, confirm="best of tune",
            levels={**KOLEO, "accum_steps": (1, 4)},  # a run: a tenth of study 1's million images
            fixed={**LITE0, "image_size": 128, "freeze_epochs": 5, "subset": 7125, "val_images": 500, "views": "pca"},
            next_command="--preset features --outcome recall_at_1",
        ),
        "features-study1": Preset(
            takes="about 35 min on 2 CPU cores",
            purpose="study 1's search and its whole budget, ten times a run of `features`, on the same frozen features",
            dataset="cifar10", samples=100, epochs=15, blocks=7, confirm="best of search",
            fixed={**LITE0, "image_size": 128, "freeze_epochs": 15, "triplets": "study", "views": "pca", **ANY},
        ),
        "finetune": Preset(
            takes="an hour on 2 CPU cores, 4 min on an H200",
            purpose="KoLeo and accumulation where the backbone that `features` freezes is trained, two settings a cell",
            dataset="cifar10", points=2, epochs=3, replicates=6, confirm="best of tune",
            levels={"koleo": (False, True), "accum_steps": (1, 4)},
            fixed={**LITE0, "image_size": 64, "subset": 800, "val_images": 300, "views": "pca", **ANY},
        ),
        "study1": Preset(
            purpose="the published search on its leaking triplets, then the best of both arms on untouched images",
            dataset="cifar10", samples=100, epochs=15, blocks=7, confirm="best of search",
            fixed={"backbone": "vgg11", "norm_kind": "none", "weights": "imagenet", "triplets": "study", **ANY},
            first_trials=({"koleo": False, "accum_steps": 1, "batch_size": 64, "lr": 1.61e-4, "margin": 0.265,
                           "embedding_dim": 128, "optimizer": "adam"},),  # its best
        ),
        "minimal": Preset(
            takes="7 min on 2 CPU cores",
            purpose="KoLeo and accumulation, every cell tuned in eight replicates: the least that can give verdicts",
            dataset="digits", points=8, epochs=20, replicates=8, blocks=2, confirm="best of tune",
            levels={"koleo": (False, True), "accum_steps": (1, 4)}, fixed={"views": "pca", **ANY},
            next_command="--preset minimal --dataset cifar10 --train-triplets 5000 --epochs 4",
        ),
        "standard": Preset(
            purpose="minimal on CIFAR-10, and KoLeo against other-class neighbours beside any (wants a GPU)",
            dataset="cifar10", points=8, epochs=15, replicates=8, blocks=2, confirm="best of tune",
            levels={**KOLEO, "accum_steps": (1, 4)}, fixed={"views": "pca"},
        ),
        "full": Preset(
            purpose="standard with K of 2 and both batch sizes, twice the settings per cell (wants several GPUs)",
            dataset="cifar10", points=16, epochs=15, replicates=10, blocks=2, confirm="best of tune",
            levels={**KOLEO, "accum_steps": (1, 2, 4), "batch_size": (64, 128)}, fixed={"views": "pca"},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
