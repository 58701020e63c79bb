"""Levels become distinct cells, estimands become weights on them."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from embedding_core.config.train_config import TrainConfig
from sweeps.design import Design, Estimand
from sweeps.design.cells import Contrast, Factorial, contrasts_of
from sweeps.design.design import AUC
from sweeps.design.plan import Plan
from sweeps.koleo_accum import DESIGN

PER_SAMPLE = ("triplet", "arcface", "softmax")
COUPLED = ("semihard", "mined", "nt_xent")


def minimal(**what: str | int | float) -> Plan:
    return Plan.of(DESIGN, {"preset": "minimal", **what})


def ids(plan: Plan, role: str = "factorial") -> list[str]:
    return [cell.cell_id for cell in plan.cells if cell.role == role]


def by_estimand(plan: Plan) -> Mapping[str, Contrast]:
    return {contrast.estimand: contrast for contrast in plan.contrasts()}


@pytest.mark.parametrize("loss", PER_SAMPLE)
def test_one_cell_without_koleo_serves_all_k_of_a_per_sample_loss(loss: str) -> None:
    assert ids(minimal(loss=loss)) == ["koleo=off", "koleo=on,accum_steps=1", "koleo=on,accum_steps=4"]


@pytest.mark.parametrize("loss", COUPLED)
def test_a_batch_coupled_loss_makes_the_full_factorial(loss: str) -> None:
    crossed = [f"koleo={koleo},accum_steps={k}" for koleo, k in product(("off", "on"), (1, 4))]
    assert ids(minimal(loss=loss)) == crossed


def test_batch_norm_makes_the_full_factorial_of_any_loss() -> None:
    assert len(ids(minimal(norm_kind="batch"))) == 4


def test_accumulation_acts_where_something_sees_the_micro_batch() -> None:
    assert not TrainConfig().depends_on_accum_steps
    assert TrainConfig(koleo=True, koleo_weight=0.1).depends_on_accum_steps
    assert not TrainConfig(koleo=True, koleo_weight=0.1, accum_mode="cached").depends_on_accum_steps
    assert TrainConfig(accum_mode="cached", norm_kind="batch").depends_on_accum_steps
    assert not TrainConfig(norm_kind="batch", freeze_epochs=5).depends_on_accum_steps
    assert TrainConfig(norm_kind="batch", freeze_epochs=4).depends_on_accum_steps
    assert TrainConfig(norm_kind="batch", freeze_epochs=5, head="mlp").depends_on_accum_steps
    assert TrainConfig(loss="semihard").depends_on_accum_steps


@pytest.mark.parametrize("preset", ["minimal", "standard", "full"])
@pytest.mark.parametrize("loss", ["triplet", "semihard"])
def test_weights_give_the_effects_that_the_outcomes_were_made_of(preset: str, loss: str) -> None:
    """Outcomes linear in KoLeo, log2 K and their product give back the coefficients, whatever the batch size adds."""
    plan = Plan.of(DESIGN, {"preset": preset, "loss": loss})
    koleo, doubling, both, batch = 0.03, -0.01 * (loss == "semihard"), 0.007, 0.2
    outcomes = {}
    for cell in plan.factorial.distinct:
        on, log_k = bool(cell.levels["koleo"]), np.log2(float(cell.levels.get("accum_steps", 1) or 1))
        outcomes[cell.cell_id] = koleo * on + doubling * log_k + both * on * log_k
        outcomes[cell.cell_id] += batch * float(cell.levels.get("batch_size", 64) or 0)
    estimate = {
        name: sum(weight * outcomes.get(cell, np.nan) for cell, weight in contrast.weights.items())
        for name, contrast in by_estimand(plan).items()
    }
    steps = DESIGN.presets[preset].levels["accum_steps"]
    mean_log_k = np.mean([np.log2(k) for k in steps])  # type: ignore[call-overload]
    assert estimate["koleo"] == pytest.approx(koleo + both * mean_log_k)
    assert estimate["accumulation with KoLeo"] == pytest.approx(2 * (doubling + both)), "K=4 against K=1: two doublings"
    assert estimate["koleo at K=1"] == pytest.approx(koleo)
    assert estimate["koleo at K=4"] == pytest.approx(koleo + 2 * both)
    if loss == "semihard":
        assert estimate["accumulation without KoLeo"] == pytest.approx(2 * doubling)
        assert estimate["interaction"] == pytest.approx(2 * both), "the whole difference of differences"
    assert ("doubling of K with KoLeo" in estimate) == (len(steps) > 2), "a slope takes three levels"
    assert estimate.get("doubling of K with KoLeo", doubling + both) == pytest.approx(doubling + both)
    assert estimate.get("other-class against any", 0.0) == pytest.approx(0.0)


def test_the_weights_of_every_contrast_sum_to_zero() -> None:
    for preset, loss in product(("quick", "minimal", "standard", "full"), ("triplet", "semihard")):
        plan = Plan.of(DESIGN, {"preset": preset, "loss": loss})
        for contrast in plan.contrasts():
            assert sum(contrast.weights.values()) == pytest.approx(0, abs=1e-9)
            assert set(contrast.weights) <= {cell.cell_id for cell in plan.cells}


def test_what_is_zero_by_identity_is_no_contrast_and_its_twin_says_so() -> None:
    found = by_estimand(minimal())
    assert "accumulation without KoLeo" not in found
    assert "interaction" not in found
    assert found["accumulation with KoLeo"].code == "E2, E3"
    assert found["accumulation with KoLeo"].note.endswith("interaction.")
    coupled = by_estimand(minimal(loss="semihard"))
    assert [coupled[name].code for name in ("accumulation without KoLeo", "interaction")] == ["E2", "E3"]


def test_other_class_neighbours_are_a_level_that_the_cells_without_koleo_do_not_have() -> None:
    plan = Plan.of(DESIGN, {"preset": "standard"})
    on = [f"koleo=on,koleo_exclude_same_class={other},accum_steps={k}" for other in ("off", "on") for k in (1, 4)]
    assert ids(plan) == ["koleo=off", *on]
    found = by_estimand(plan)
    assert found["koleo"].weights == {"koleo=off": -1.0, **dict.fromkeys(on, 0.25)}
    assert found["koleo, other-class neighbours"].weights == {"koleo=off": -1.0, on[2]: 0.5, on[3]: 0.5}
    assert found["other-class against any"].weights == {on[0]: -0.5, on[1]: -0.5, on[2]: 0.5, on[3]: 0.5}
    assert found["other-class against any"].family == "exploratory"
    assert "koleo, other-class neighbours" not in by_estimand(minimal())


def test_beside_batch_sizes_the_memory_of_adam_is_held_per_sample() -> None:
    for beta2, what in ((0.999, {}), (0.99, {"beta2": 0.99})):
        plan = Plan.of(DESIGN, {"preset": "full", **what})
        for cell in plan.cells:
            expected = {"beta2": beta2**2} if cell.levels["batch_size"] == 128 else {}
            assert cell.fixed == pytest.approx(expected)
    assert all(not cell.fixed for cell in minimal().cells)


@pytest.mark.parametrize("loss", ["triplet", "semihard"])
def test_a_family_has_at_most_four_primaries_whose_labels_name_what_is_compared(loss: str) -> None:
    for preset in ("minimal", "standard", "full"):
        labels = [
            c.label for c in Plan.of(DESIGN, {"preset": preset, "loss": loss}).contrasts() if c.family == "primary"
        ]
        assert labels[:2] == ["KoLeo", "accumulation (K=4 against 1) with KoLeo"]
        assert len(labels) == (2 if loss == "triplet" else 4)


def test_controls_are_cells_whose_accumulation_changes_nothing() -> None:
    cached = "koleo=on,accum_steps=4,accum_mode=cached"
    assert ids(minimal(controls=True), "control") == ["koleo=off,accum_steps=4", cached]
    assert ids(minimal(loss="semihard", controls=True), "control") == [cached]
    assert ids(minimal(norm_kind="batch", controls=True), "control") == []
    assert ids(minimal(), "control") == [], "nobody has asked for them"
    plan = minimal(controls=True, blocks=6)
    for cell in plan.cells:
        if cell.role == "control":
            twin = "koleo=off" if not cell.levels["koleo"] else "koleo=on,accum_steps=1"
            assert cell.settings_of == twin
            assert plan.blocks_of(cell) == 4
            assert by_estimand(plan)[f"{cell.cell_id} against {twin}"].weights == {twin: -1, cell.cell_id: 1}


def test_a_factor_that_is_not_compared_can_be_fixed() -> None:
    plan = Plan.of(DESIGN, {"preset": "full", "batch_size": 64})
    on = [f"koleo=on,koleo_exclude_same_class={other},accum_steps={k}" for other in ("off", "on") for k in (1, 2, 4)]
    assert ids(plan) == ["koleo=off", *on]


def test_an_effect_of_three_levels_that_are_no_numbers_is_refused(tiny: Design) -> None:
    levels = {"koleo": (False, True), "optimizer": ("adam", "sgd", "lars")}
    factorial = Factorial.of(tiny, levels, {})
    estimand = Estimand(code="E", name="optimiser", factor="optimizer", label="the optimiser")
    with pytest.raises(ValueError, match=r"needs two levels, but it has \('adam', 'sgd', 'lars'\)"):
        contrasts_of([estimand], factorial, AUC)
    assert contrasts_of([replace(estimand, factor="margin")], factorial, AUC) == []
