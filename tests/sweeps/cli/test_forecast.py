"""`--plan` says what would run, and runs nothing."""

import re
from pathlib import Path

import pytest

from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.koleo_accum import DESIGN


def planned(design: Design, results: Path, line: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The lines of the plan by their heading."""
    argv = ["--plan", "--local", "--results", str(results), *line.split()]
    assert main(design, argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == design.question
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines[1:])}


def test_trials_and_images_are_those_of_the_plan(
    tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = planned(tiny, tmp_path / "results", "--samples 5 --epochs 3 --blocks 4 --train-triplets 64", capsys)
    assert shown["data set"] == "digits, 1,797 images, batch 32"
    assert shown["search"] == f"5 trials, at most {5 * 3 * 3 * 64:,} images"  # trials, epochs, images per triplet
    assert shown["confirm"] == f"8 trials, at most {8 * 3 * 3 * 64:,} images"  # two cells
    assert re.match(r"about [\d,.]+ min on this machine \(\d+ at once, ", shown["time"])  # a cluster was not asked
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_is_not_run_is_not_counted(
    tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = planned(tiny, tmp_path, "--stages confirm --blocks 2", capsys)
    assert shown["confirm"].startswith("4 trials")
    assert "search" not in shown
    assert "confirm" not in planned(tiny, tmp_path, "--stages search", capsys)


def test_disk_counts_the_checkpoints_that_are_kept_and_those_at_work(
    tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def mebibytes(line: str) -> int:
        (number,) = re.findall(r"at most ([\d,]+) MiB of checkpoints", planned(tiny, tmp_path, line, capsys)["disk"])
        return int(number.replace(",", ""))

    few, many = (mebibytes(f"--stages confirm --max-concurrent 1 --blocks {b}") for b in (2, 900))
    assert many / few == pytest.approx((2 * 900 + 1) / (2 * 2 + 1), rel=0.15)  # whole MiB are shown


def test_the_quick_preset_is_planned_on_embedded_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = planned(DESIGN, tmp_path, "", capsys)
    quick = DESIGN.presets["quick"]
    assert shown["search"].startswith(f"{quick.samples} trials")
    assert shown["confirm"].startswith(f"{quick.blocks * len(DESIGN.arms)} trials")


def test_what_the_estimate_leaves_out_is_named(
    tiny: Design, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not counted" not in planned(tiny, tmp_path, "", capsys)["time"]  # this design has no views
    shown = planned(tiny, tmp_path, "--set views=pca --set probes=2 --set classifiers=true", capsys)
    assert shown["time"].endswith("not counted: views of a block, probes, fitted classifiers")
    assert "not counted" not in planned(tiny, tmp_path, "--set probes=2 --stages search", capsys)["time"]
