"""A design is data: cells, corners, and nothing that cannot be pickled or written as JSON."""

import hashlib
import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass

import optuna
import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.design.design import Cell, Design, Factor, Levels, Range, spelled
from sweeps.design.plan import Plan
from sweeps.engine.search.optuna_study import drawn
from sweeps.koleo_accum import DESIGN


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"koleo": True}, "koleo=on"),
        ({"koleo": False, "accum_steps": 4}, "koleo=off,accum_steps=4"),
        ({"accum_mode": "cached", "batch_size": 64}, "accum_mode=cached,batch_size=64"),
        ({"koleo_weight": 0.1}, "koleo_weight=.1"),
    ],
)
def test_cell_ids(levels: dict[str, object], expected: str) -> None:
    assert Cell(levels=levels).cell_id == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "on"),
        (False, "off"),
        (0.1, ".1"),
        (1e-4, ".0001"),
        (2.0, "2"),
        (64, "64"),
        ("adam", "adam"),
        (None, "None"),
    ],
)
def test_levels_as_people_write_them(value: bool | float | str | None, expected: str) -> None:
    assert spelled(value) == expected


def test_arm_of() -> None:
    assert DESIGN.arm_of({"koleo": True, "lr": 0.1}).cell_id == "koleo=on"
    assert DESIGN.arm_of(TrainConfig().to_flat()).cell_id == "koleo=off"
    with pytest.raises(ValueError, match=r"No arm of koleo_accum has the levels of .*accum_steps"):
        DESIGN.arm_of({"accum_steps": 2})


def test_corners_are_all_ends_and_respect_conditions(tiny: Design) -> None:
    corners = [tuple(sorted(corner.items())) for corner in tiny.corners()]
    expected = [{"koleo": False, "lr": lr} for lr in (1e-4, 1e-2)]
    expected += [{"koleo": True, "koleo_weight": w, "lr": lr} for w in (1e-4, 1e-1) for lr in (1e-4, 1e-2)]
    assert set(corners) == {tuple(sorted(corner.items())) for corner in expected}


@pytest.mark.parametrize(("loss", "heaviest"), [("triplet", 1.0), ("arcface", 1.0), ("nt_xent", 30.0)])
def test_every_corner_of_koleo_accum_is_a_configuration(loss: str, heaviest: float) -> None:
    plan = Plan.of(DESIGN, {"loss": loss})
    corners = list(plan.design.corners())
    assert max(corner.get("koleo_weight", 0.0) for corner in corners) == heaviest  # type: ignore[type-var]
    assert {corner["batch_size"] for corner in corners} == {64, 128}
    assert all(("koleo_weight" in corner) == corner["koleo"] for corner in corners)
    for corner in corners:
        TrainConfig.from_flat({**plan.base, **corner})


def test_koleo_accum_searches_the_space_of_study_1() -> None:
    """The published study: KoLeo on or off, its weight when on, K, B, lr, margin, embedding size, optimiser.

    Its weights ended at .1; what is known since reaches further.
    """
    published = (
        Factor(name="koleo", role="scientific", domain=Levels((False, True))),
        Factor(name="accum_steps", role="scientific", domain=Levels((1, 2, 4))),
        Factor(name="batch_size", role="scientific", domain=Levels((64, 128))),
        Factor(name="koleo_weight", role="nuisance", domain=Range(1e-4, 1.0, log=True), when={"koleo": (True,)}),
        Factor(name="lr", role="nuisance", domain=Range(1e-4, 1e-2, log=True)),
        Factor(name="margin", role="nuisance", domain=Range(0.2, 0.6)),
        Factor(name="embedding_dim", role="fixed", domain=Levels((64, 128, 256))),
        Factor(name="optimizer", role="fixed", domain=Levels(("adam", "rmsprop"))),
    )
    assert Plan.of(DESIGN, {"preset": "study1"}).design.factors == published
    study1 = DESIGN.presets["study1"]
    assert (study1.samples, study1.dataset, study1.fixed["backbone"]) == (100, "cifar10", "vgg11")


def values(item: object) -> Iterator[object]:
    """Everything a design is made of, down to the leaves."""
    if is_dataclass(item) and not isinstance(item, type):
        for field in fields(item):
            yield from values(getattr(item, field.name))
    elif isinstance(item, dict):
        for key, value in item.items():
            yield key
            yield from values(value)
    elif isinstance(item, tuple):
        for value in item:
            yield from values(value)
    else:
        yield item


def test_a_design_is_plain_data() -> None:
    assert {type(value) for value in values(DESIGN)} <= {bool, int, float, str, type(None)}
    assert pickle.loads(pickle.dumps(DESIGN)) == DESIGN
    content = asdict(DESIGN)
    for preset in content["presets"].values():
        del preset["takes"]  # noted after the fact: a sweep that was begun before can still be resumed
    assert DESIGN.sha256 == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def test_a_design_draws_within_its_domains_after_pickling() -> None:
    design = pickle.loads(pickle.dumps(Plan.of(DESIGN, {}).design))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(50):
        trial = study.ask()
        values = drawn(design.factors, trial, {})
        assert values == trial.params
        assert set(values) == {f.name for f in design.factors if not f.when or values["koleo"]}
        for factor in design.factors:
            if factor.name not in values:
                continue
            if isinstance(factor.domain, Levels):
                assert values[factor.name] in factor.domain.values
            else:
                assert factor.domain.low <= values[factor.name] <= factor.domain.high
                assert trial.distributions[factor.name].log == factor.domain.log
