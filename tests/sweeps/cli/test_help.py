"""`--help`: examples first, what each preset takes and can claim, every flag with its default; nothing heavy loaded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.cli.help import help_of
from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.design.plan import Plan
from sweeps.design.runs import confirm_runs, tune_runs
from sweeps.koleo_accum import DESIGN

ROOT = Path(__file__).parents[3]


def told(text: str) -> str:
    """On one line."""
    return " ".join(text.split())


def test_help_opens_with_the_question_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(DESIGN, ["--help"]) == 0
    question, examples, presets = capsys.readouterr().out.split("\n\n")[:3]
    assert told(question) == DESIGN.question
    assert examples.startswith("examples:\n  python ")
    assert "--plan" in examples
    assert presets.startswith("presets")


def test_help_loads_nothing_that_takes_seconds() -> None:
    """Whatever machine it runs on: the time goes into these packages."""
    code = (
        "import sys\n"
        "from sweeps.koleo_accum import DESIGN, main\n"
        "assert main(DESIGN, ['--preset', 'features', '--help']) == 0\n"
        "heavy = {'ray', 'torch', 'optuna', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'statsmodels'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_preset_says_how_many_runs_it_has() -> None:
    text = told(help_of(DESIGN))
    for name, preset in DESIGN.presets.items():
        plan = Plan.of(DESIGN, {"preset": name})
        settings = [{cell.cell_id: {} for cell in plan.cells}] * plan.replicates
        runs = plan.samples if "search" in plan.stages else 0
        runs += len(tune_runs(plan)) if "tune" in plan.stages else 0
        runs += len(confirm_runs(plan, settings))
        assert re.search(rf" {name}( \(default\))? {runs:,} runs, ", text), name
        assert f" {preset.purpose}. " in text


@pytest.mark.parametrize(
    ("preset", "claim"),
    [
        ("quick", "no verdict: it has 2 of the 4 replicates that one takes"),
        ("tuned", "a best configuration; no verdict, as all rests on one search"),
        ("designed", "no verdict: it has 2 of the 4 replicates that one takes"),
    ],
)
def test_a_preset_says_what_it_can_claim(tiny: Design, preset: str, claim: str) -> None:
    own = told(help_of(tiny)).partition(f" {preset} ")[2]
    assert re.findall(r"Can claim: (.*?)\. ", own)[0] == claim


def test_seeds_and_tunings_are_told_apart_in_what_can_be_claimed() -> None:
    text = told(help_of(DESIGN))
    assert "Can claim: verdicts at the stated settings, over 7 seeds. features 300 runs" in text
    assert "Can claim: verdicts that allow for tuning, over 10 tunings. features-study1" in text


def test_flags_show_the_values_of_the_preset_that_is_asked_about() -> None:
    quick, features = (told(help_of(DESIGN, argv)) for argv in ([], ["--preset", "features", "--help"]))
    assert "default: digits (quick)" in quick
    assert "default: drop-in (quick)" in quick
    assert "default: cifar10 (features)" in features
    assert "default: tuned (features)" in features
    assert "default: 10 (features)" in features
    assert "default: digits (quick)" in told(help_of(DESIGN, ["--preset", "no such"]))


def test_every_flag_says_what_it_is_and_most_what_they_are_where_they_are_not_given() -> None:
    shown = told(help_of(DESIGN).partition("what to run:")[2])
    for flag in ("--seed", "--results", "--save-every", "--epoch-deadline", "--cpus-per-trial", "--tuner"):
        assert "default: " in shown.partition(f" {flag} ")[2].partition(" --")[0], flag
