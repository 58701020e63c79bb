"""A batch size that nobody typed fits the data, and is said to be a guess; a typed one is held to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedding_core.errors import Faults
from sweeps.cli.messages import next_command
from sweeps.cli.options import parse
from sweeps.cli.preflight import pinned, preflight
from sweeps.cli.sweep_folder import keep_plan, plan_of
from sweeps.design import Design, Factor, Levels
from sweeps.design.plan import Plan
from sweeps.results import frozen
from sweeps.results.store import Store


@pytest.fixture
def small_set(tmp_path: Path) -> str:
    """A folder of 240 images in three classes: 75 training triplets."""
    pixels = np.random.default_rng(0).integers(0, 256, (240, 8, 8, 3), np.uint8)
    for i, image in enumerate(pixels):
        file = tmp_path / "images" / "abc"[i % 3] / f"{i}.ppm"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return f"folder:{tmp_path / 'images'}"


@pytest.fixture
def begun(small_set: str, tmp_path: Path) -> Callable[..., tuple[Plan, dict[str, Any]]]:
    """`begun(design, *flags)` as a driver does, up to its first trial: the plan, and what `plan.json` has."""

    def begin(design: Design, *flags: str) -> tuple[Plan, dict[str, Any]]:
        folder = tmp_path / "results" / "s"
        options = parse(design, ["--results", str(folder.parent), "--name", "s", "--dataset", small_set, *flags])
        plan, data = preflight(plan_of(design, options, folder), options, folder)
        if not options.resume:
            Store.create(folder)
        keep_plan(plan, options, folder, "", pinned(plan, data))
        return plan, frozen.read(folder / frozen.FILE, needed_by="a test")

    return begin


def test_a_batch_size_that_nobody_typed_fits_and_is_kept(tiny: Design, begun: Any) -> None:
    sizes = Factor(name="batch_size", role="scientific", domain=Levels((64, 128)))
    design = replace(tiny, factors=(*tiny.factors, sizes), fixed={**tiny.fixed, "subset": None})
    plan, stored = begun(design)
    assert plan.base["batch_size"] == 64  # declared as a level beside 128, which 75 triplets do not fill
    assert {config["batch_size"] for config in (stored["base"], stored["what"])} == {64}
    assert (
        "batch:     64, as the declared 128 is more than the 75 training triplets: a guess, as no batch size was given"
    ) in stored[frozen.DATA][frozen.LINES]
    again, _ = begun(design, "--resume")
    assert again == plan
    longer, stored = begun(design, "--extend", "search=1")
    assert stored["guessed"] == longer.guessed == plan.guessed
    for one in (plan, again, longer):
        assert "batch_size=" not in next_command(one, ["--resume"]), "nobody typed it"


@pytest.mark.parametrize(("accum_steps", "expected"), [(1, 32), (3, 24)])
def test_where_no_declared_size_fits_the_largest_that_the_steps_divide_is_taken(
    tiny: Design, begun: Any, accum_steps: int, expected: int
) -> None:
    design = replace(tiny, fixed={**tiny.fixed, "batch_size": 128 * accum_steps, "subset": None})
    plan, _ = begun(design, "--set", f"accum_steps={accum_steps}")
    assert plan.base["batch_size"] == expected
    assert plan.guessed["batch_size"].startswith(
        f"{expected}, as the declared {128 * accum_steps} is more than the 75 training"
    )


def test_a_typed_batch_size_and_one_that_fits_stay(tiny: Design, begun: Any) -> None:
    design = replace(tiny, fixed={**tiny.fixed, "subset": None})
    with pytest.raises(Faults, match="at most the 75 training triplets, but got 96: batch_size=32 fits"):
        begun(design, "--set", "batch_size=96")
    plan, stored = begun(design)
    assert (plan.base["batch_size"], plan.guessed) == (32, {})
    assert not [line for line in stored[frozen.DATA][frozen.LINES] if line.startswith("batch:")]


def test_a_loss_that_no_micro_batch_can_teach_gives_way_to_the_designs_and_a_typed_one_is_refused(
    tiny: Design, begun: Any
) -> None:
    quick = replace(tiny.presets["quick"], fixed={**tiny.presets["quick"].fixed, "loss": "semihard"})
    design = replace(
        tiny, fixed={**tiny.fixed, "loss": "triplet", "subset": None}, presets={**tiny.presets, "quick": quick}
    )
    pairs = ["--set", "batch_size=8", "--set", "accum_steps=4"]
    with pytest.raises(Faults, match="none holds that"):
        begun(design, "--loss", "semihard", *pairs)
    plan, stored = begun(design, *pairs)
    assert plan.base["loss"] == "triplet"
    (line,) = [line for line in stored[frozen.DATA][frozen.LINES] if line.startswith("loss:")]
    assert line.startswith(
        "loss:      triplet instead of semihard: a guess, as no loss was given. loss=semihard learns"
    )
    assert begun(design, "--resume")[0] == plan
    assert "--loss" not in next_command(plan, pairs), "nobody typed it"


@pytest.mark.parametrize("subset", [20, 30])
def test_a_guessed_loss_is_told_with_what_is_wrong_in_batches_that_fit(tiny: Design, begun: Any, subset: int) -> None:
    quick = replace(tiny.presets["quick"], fixed={**tiny.presets["quick"].fixed, "loss": "semihard"})
    design = replace(tiny, fixed={**tiny.fixed, "loss": "triplet"}, presets={**tiny.presets, "quick": quick})
    plan, _ = begun(design, "--set", f"subset={subset}", "--set", "accum_steps=4")
    assert set(plan.guessed) == {"batch_size", "loss"}
    reason = plan.guessed["loss"].removeprefix("triplet instead of semihard: a guess, as no loss was given. ")
    assert reason.startswith("loss=semihard learns from two images of one class beside one of another, but of the ")
    assert "micro-batches of" in reason
