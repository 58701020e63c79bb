"""What a plan says it will be able to tell."""

from dataclasses import replace
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from sweeps.analysis.stats.answers.replicate_sd import ReplicateSd
from sweeps.analysis.stats.intervals.power import reachable, replicates_needed
from sweeps.cli.forecast.power_lines import power_lines, sds_of
from sweeps.cli.main import main
from sweeps.design import Design
from sweeps.design.design import Settings
from sweeps.design.plan import Plan
from sweeps.koleo_accum import DESIGN
from tests.sweeps.analysis.invented.factorial import factorial_sweep


def lines_of(**what: object) -> list[str]:
    settings: Settings = {"preset": "minimal", **what}  # type: ignore[dict-item]
    return power_lines(Plan.of(DESIGN, settings))


def test_a_line_for_each_sd_at_this_number_of_replicates_and_primaries() -> None:
    head, columns, *rows, legend = lines_of(replicates=10, loss="semihard")
    assert head == "power:     10 tunings x 2 seeds, 4 effects on AUC judged together; .003 matters"
    assert "95 % interval" in columns
    assert [row.split()[0] for row in rows] == [".0050", ".010", ".020"]
    # Half-widths at R = 10 with four primaries are .98 replicate SD (3.1 standard errors).
    assert [row.split()[1] for row in rows] == ["+-.0049", "+-.0098", "+-.020"]
    assert "probability .8" in legend
    found = reachable(0.01, 10, sesoi=0.003, family=4)
    assert found.moved is not None
    assert f"from {found.moved:.3f}".replace("0.", ".") in rows[1]


def test_no_difference_that_matters_is_said_to_be_in_reach_where_it_is() -> None:
    rows = lines_of(replicates=200)
    assert [row.split("  ")[-1].partition("(")[0].strip() for row in rows[2:5]] == [
        "can be said",
        "can be said",
        "rarely",
    ]
    assert lines_of(replicates=4)[4].endswith("never")


def test_fewer_than_four_replicates_are_a_pilot_and_it_says_what_it_takes() -> None:
    head, first, second = lines_of(replicates=3)
    assert head.startswith("power:     3 tunings x 2 seeds")
    assert first.startswith("  pilot: no verdict. That takes --replicates 4 at least.")
    needed = [replicates_needed(0.006, sd, family=2) for sd in (0.005, 0.01, 0.02)]
    assert ", ".join(f"{n} at" for n in needed).split(" at")[0] in second
    assert all(f"{n} at" in second for n in needed)


def test_what_nothing_is_tuned_for_counts_replicates_too() -> None:
    assert power_lines(Plan.of(DESIGN, {}))[0].startswith("power:     7 replicates, 4 effects on AUC")
    pilot = power_lines(Plan.of(DESIGN, {"replicates": 2}))
    assert "pilot: no verdict" in pilot[1]


def test_a_search_is_one_tuning_whatever_confirms_it() -> None:
    assert "A search is one tuning" in power_lines(Plan.of(DESIGN, {"preset": "study1"}))[1]


def test_what_judges_nothing_has_no_power() -> None:
    assert lines_of(stages="tune") == []


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factorial_sweep(replicates=4, blocks=2).write(tmp_path_factory.mktemp("results") / "earlier")


@pytest.mark.slow
def test_sds_of_an_earlier_sweep_stand_by_their_estimand(earlier: Path) -> None:
    plan = Plan.of(DESIGN, {"preset": "minimal", "loss": "semihard"})
    sds = sds_of(earlier, plan)
    lines = power_lines(plan, sds, name="earlier")
    assert lines[1] == "  SDs of earlier: 4 replicates x 2 seeds"
    (own,) = [line for line in lines if line.strip().startswith("koleo: ")]
    assert f"{sds['koleo'].sd:.2}"[1:4] in own
    absent = power_lines(plan, {"koleo": ReplicateSd(0.01, 4, 2)}, name="earlier")
    assert absent[2].startswith("  not estimated there: accumulation")


@pytest.mark.slow
def test_a_sweep_that_cannot_tell_is_one_message(
    tiny: Design, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan.of(DESIGN, {"preset": "minimal", "loss": "semihard"})
    single = factorial_sweep(replicates=1, blocks=2).write(tmp_path / "single")
    for folder, part in ((single, "one tuning confirmed by 2 seeds"), (tmp_path / "nowhere", "nowhere")):
        with pytest.raises(Faults, match=part) as error:
            sds_of(folder, plan)
        assert len(error.value.faults) == 1
    with pytest.raises(Faults, match="none of what is planned"):
        sds_of(earlier, Plan.of(_renamed(tiny), {"preset": "designed"}))
    assert main(DESIGN, ["--local", "--sd-from", str(single)]) == 2
    assert "add `--plan`" in capsys.readouterr().err


def _renamed(design: Design) -> Design:
    return replace(design, estimands=tuple(replace(each, name=f"other {each.name}") for each in design.estimands))
