"""A design whose trials cannot meet at ASHA's rungs is refused before it runs: some would never be stopped."""

from pathlib import Path

import pytest
import ray
import torch

from embedding_core.config.train_config import TrainConfig
from embedding_core.data.device_data import DeviceData
from sweeps.cli.main import main
from sweeps.cli.rung_checks import rung_faults
from sweeps.design import Cell, Design, Estimand, Factor, Levels, Preset, Range
from sweeps.design.plan import Plan

LOSS = Factor(name="loss", role="nuisance", domain=Levels(("triplet", "arcface", "nt_xent")))
SAMPLER = Factor(name="batch_sampler", role="nuisance", domain=Levels(("random", "pk")))
LR = Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True))
ARMS = (Cell(levels={"koleo": False}), Cell(levels={"koleo": True}, drop_in={"koleo_weight": 0.1}))


def design(*factors: Factor, loss: str = "arcface") -> Design:
    return Design(
        name="rungs",
        question="Do they meet?",
        factors=(
            Factor(name="koleo", role="scientific", domain=Levels((False, True))),
            Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1e-1, log=True), when={"koleo": (True,)}),
            *factors,
        ),
        arms=ARMS,
        estimands=(Estimand(code="E1", name="koleo", factor="koleo", label="KoLeo"),),
        fixed={"loss": loss, "batch_size": 32, "embedding_dim": 16},
        presets={
            "quick": Preset(
                purpose="both", dataset="digits", samples=4, points=4, epochs=4, replicates=2, confirm="best of tune"
            )
        },
    )


@pytest.mark.parametrize("stages", ["search,confirm", "tune,confirm"])
@pytest.mark.parametrize(
    ("factors", "loss", "told"),
    [
        ((LOSS,), "triplet", ("1,719 images with loss=triplet", "1,151 with loss=arcface")),
        ((SAMPLER,), "arcface", ("1,151 images with batch_sampler=random", "1,148 with batch_sampler=pk")),
    ],
    ids=["loss", "sampler"],
)
def test_a_factor_that_changes_how_many_images_an_epoch_has_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factors: tuple[Factor, ...], loss: str, told: tuple[str, str],
    stages: str,
) -> None:  # fmt: skip
    argv = ["--local", "--results", str(tmp_path / "results"), "--stages", stages]
    if "search" in stages:
        argv += ["--confirm", "drop-in"]
    assert main(design(*factors, loss=loss), argv) == 2
    assert not ray.is_initialized()
    message = capsys.readouterr().err
    for part in (*told, f"fix `{factors[0].name}`", "the search" if "search" in stages else "the tuning of koleo=off"):
        assert part in message
    assert not (tmp_path / "results").exists()


def test_what_leaves_the_images_as_they_are_and_a_tuning_without_rungs_are_not_refused() -> None:
    data = DeviceData.load(TrainConfig(), torch.device("cpu"))
    both = {"stages": "search,tune,confirm"}
    assert not list(rung_faults(Plan.of(design(LR), both), data))
    assert not list(rung_faults(Plan.of(design(LOSS), {"stages": "tune,confirm", "tuner": "sobol"}), data))
    assert len(list(rung_faults(Plan.of(design(LOSS), both), data))) == 3  # the search, and the tuning of each cell


def test_losses_that_are_cells_are_tuned_each_by_itself() -> None:
    """They meet nobody of another loss at a rung."""
    cells = tuple(Cell(levels={"loss": loss}) for loss in ("triplet", "arcface", "nt_xent"))
    listed = Design(
        name="losses",
        question="Which loss?",
        cells=cells,
        factors=(LR,),
        estimands=(
            Estimand(
                code="E1", name="loss", label="ArcFace", control=(cells[0].cell_id,), treatment=(cells[1].cell_id,)
            ),
        ),
        fixed={"batch_size": 32, "embedding_dim": 16},
        presets={
            "quick": Preset(purpose="tuned", dataset="digits", points=4, epochs=4, replicates=2, confirm="best of tune")
        },
    )
    assert not list(rung_faults(Plan.of(listed, {}), DeviceData.load(TrainConfig(), torch.device("cpu"))))
