"""How much KoLeo? Weights from none to 1 at settings that all cells share, both outcomes read.

python sweeps/koleo_dose.py                     a first look on embedded digits, minutes on a laptop
python sweeps/koleo_dose.py --preset features   CIFAR-10 on frozen ImageNet features, any and other-class neighbours
python sweeps/koleo_dose.py --help              every flag

Nothing is tuned: a weight is judged beside the same rate and margin, as it is by whoever adds the term to a recipe.
What tuning makes of it is asked by koleo_accum.py.
"""

import sys

from sweeps.cli.main import main
from sweeps.design import Cell, Design, Estimand, Preset
from sweeps.design.design import spelled

LITE0 = {"backbone": "efficientnet_lite0", "weights": "imagenet", "norm_kind": "batch", "input_scaling": "imagenet"}

WEIGHTS = (0.03, 0.1, 0.3, 1.0)
NEIGHBOURS = {"any": False, "other-class": True}
STEPS = (1, 4)

OFF = Cell(levels={"koleo": False})
ON = {
    (weight, which, steps): Cell(levels={"koleo_weight": weight, "koleo_exclude_same_class": other,
                                         "accum_steps": steps, "koleo": True})
    for weight in WEIGHTS for which, other in NEIGHBOURS.items() for steps in STEPS
}  # fmt: skip


def ids(weight: float, which: str = "", steps: int = 0) -> tuple[str, ...]:
    """Cells of a weight: of both kinds of neighbours and both K where they are not named."""
    return tuple(
        cell.cell_id for (own, kind, k), cell in ON.items() if own == weight and which in ("", kind) and steps in (0, k)
    )


DESIGN = Design(
    name="koleo_dose",
    question="At settings that all cells share, how does what KoLeo changes grow with its weight?",
    cells=(OFF, *ON.values()),
    estimands=(
        *(Estimand(code="E1", name=f"koleo at {spelled(weight)}", label=f"KoLeo (weight {spelled(weight)})",
                   control=(OFF.cell_id,), treatment=ids(weight)) for weight in WEIGHTS),
        *(Estimand(code="E1", name=f"koleo at {spelled(weight)}, {which} neighbours, K={steps}", family="exploratory",
                   label=f"KoLeo (weight {spelled(weight)}, {which} neighbours, K={steps})",
                   control=(OFF.cell_id,), treatment=ids(weight, which, steps))
          for weight in WEIGHTS for which in NEIGHBOURS for steps in STEPS),
        *(Estimand(code="E2", name=f"accumulation at {spelled(weight)}", family="exploratory",
                   label=f"accumulation (K=4 against 1) with KoLeo at weight {spelled(weight)}",
                   control=ids(weight, steps=1), treatment=ids(weight, steps=4)) for weight in WEIGHTS),
        *(Estimand(code="E3", name=f"other-class against any at {spelled(weight)}", family="exploratory",
                   label=f"other-class neighbours (against any) at weight {spelled(weight)}",
                   control=ids(weight, "any"), treatment=ids(weight, "other-class")) for weight in WEIGHTS),
    ),
    # The rate is the median of those that `koleo_accum.py --preset features` tunes.
    fixed={
        "loss": "triplet", "distance": "cosine", "margin": 0.4, "batch_size": 64, "lr": 1.4e-3, "embedding_dim": 128,
    },
    datasets={"digits": {"val_share": 0.2}, "cifar10": {"val_share": 0.05}},
    presets={
        "quick": Preset(
            takes="1 to 2 min on 2 CPU cores",
            purpose="a first look in minutes on a CPU", dataset="digits", epochs=10, replicates=7, confirm="drop-in",
            fixed={"loss": "semihard", "views": "pca"}, next_command="--preset features",
        ),
        "features": Preset(
            takes="about 16 min on 2 CPU cores",
            purpose="all weights, kinds of neighbours and K on frozen ImageNet features, ten seeds", dataset="cifar10",
            epochs=5, replicates=10, confirm="drop-in",
            fixed={**LITE0, "image_size": 128, "freeze_epochs": 5, "subset": 7125, "val_images": 500, "views": "pca"},
        ),
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(DESIGN))
