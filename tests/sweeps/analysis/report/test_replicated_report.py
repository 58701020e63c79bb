"""The report of a sweep with replicates: its sections, what carries a verdict, digits that agree everywhere."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sweeps.analysis import effects
from sweeps.analysis.document import Report
from sweeps.analysis.figures.drawing.style import svg_of
from sweeps.analysis.numbers import ends, interval
from sweeps.analysis.report.compose import render_sweep
from sweeps.analysis.report.render import markdown_of
from sweeps.analysis.report.sections.effects import VERDICT_WORDS, controls
from sweeps.analysis.report.sections.in_order import SweepTables, report_of
from sweeps.analysis.stats.answers.findings import findings
from sweeps.analysis.stats.answers.koleo_against_accumulation import PARTS, comparisons
from sweeps.results.schema import TABLES
from tests.sweeps.analysis.svg_texts import texts

Make = Callable[..., Any]
Told = Callable[[str], tuple[Any, Report]]

CLAIMS = (
    *VERDICT_WORDS.values(),
    "raised",
    "lowered",
    "no difference",
    "matters",
    "not settled",
    "no evidence",
    "beyond",
)
"""What only primaries may say."""

ABSENT = ("rungs", "views", "evaluations")
"""Tables that these sweeps have no rows of."""

FOLLOWING = [
    "KoLeo against accumulation",
    "Cells and contrasts",
    "At common settings",
    "Exploratory contrasts",
    "Replicate by replicate",
    "What this can and cannot say",
    "Sensitivity",
    "Winner's curse",
]


@pytest.fixture(scope="module")
def told(make_factorial: Make) -> Told:
    """A sweep of SWEEPS by name and its report, made once; neither is to be changed."""
    known: dict[str, tuple[Any, Report]] = {}

    def of(name: str) -> tuple[Any, Report]:
        if name not in known:
            sweep = SWEEPS[name](make_factorial)
            known[name] = sweep, composed(sweep)
        return known[name]

    return of


@pytest.fixture(scope="module")
def made(told: Told) -> Any:
    """Not to be changed."""
    return told("plain")[0]


@pytest.fixture(scope="module")
def report(told: Told) -> Report:
    return told("plain")[1]


def composed(made: Any) -> Report:
    """The report of a sweep, without its folder."""
    absent = {name: TABLES[name].append(pa.field("stage", pa.string())).empty_table() for name in ABSENT}
    return report_of(
        SweepTables(
            trials=made.trials,
            curves=made.curves,
            eval_groups=made.groups,
            confirm_attempts=made.trials.filter(pc.field("stage") == "confirm"),
            **absent,
        ),
        made.stored,
    )


def table_of(report: Report, heading: str) -> Any:
    return next(section for section in report.sections if section.heading == heading).tables[0]


def test_effects_come_first_and_what_follows_from_them_after(report: Report) -> None:
    headings = [section.heading for section in report.sections]
    assert headings[: 1 + len(FOLLOWING)] == ["Effect", *FOLLOWING]
    assert len(report.verdicts) == 4
    primary = table_of(report, "Effect")
    assert primary.header[1:3] == ["KoLeo", "accumulation (K=4 against 1) with KoLeo"]
    assert not any(re.match(r"E\d", name) for name in primary.header)
    assert [row[0] for row in primary.rows] == [
        "p (times 4)", "based on", "P(A > B)", "variance due to tuning", "detectable (power .8)",
    ]  # fmt: skip


def test_the_first_screen_joins_the_primaries_and_has_the_other_outcome_beside_them(report: Report) -> None:
    first = report.first
    assert first is not None
    assert first.table is not None
    assert len(first.answer) <= 4
    assert not any("8 tunings" in text for text in first.answer)
    assert first.table.header == ["effect of", "test AUC", "verdict", "beside it: test recall at 1"]
    assert [row[0] for row in first.table.rows[:2]] == ["KoLeo", "accumulation (K=4 against 1) with KoLeo"]
    words = {*VERDICT_WORDS.values(), "more than the .003 that matters"}
    assert {row[2] for row in first.table.rows} <= words
    assert all(re.fullmatch(r"[-+]?\.\d+ \[.*\]", row[3]) for row in first.table.rows)
    assert first.picture is not None
    assert first.picture.name == "forest"
    assert 1 <= len(first.caveats) <= 3
    assert first.ran.startswith("8 tunings x 2 seeds: ")


def test_terms_are_expanded_where_they_first_stand(report: Report) -> None:
    text = markdown_of(report)
    assert text.index("smallest effect size of interest (SESOI)") == text.index("SESOI") - len(
        "smallest effect size of interest ("
    )
    assert "Holm" not in text
    assert "BCa" not in text
    assert "sign flip" not in text


def test_what_limits_the_answer_is_said_once(report: Report) -> None:
    assert report.first is not None
    text = markdown_of(report)
    assert all(text.count(line) == 1 for line in report.first.caveats)


def test_the_scope_says_whom_the_interval_is_for(report: Report) -> None:
    assert (
        "The intervals are for a repeat of the whole sweep, with fresh tuning, fresh seeds and a fresh draw of "
        "training and validation images, on the same test split."
    ) in markdown_of(report)


@pytest.mark.slow
def test_the_scope_says_what_classes_were_tested_where_they_are_others(make_factorial: Make) -> None:
    made = make_factorial()
    assert "Test images" not in markdown_of(composed(made))
    rows = [row for row in made.tables.trial_rows if row["stage"] == "confirm"]
    for row in rows:
        row |= {"classes_tested": "class-disjoint: 100 test images of 40 classes of their own", "test_recall_at_4": 0.9}
    text = markdown_of(composed(made))
    assert "Test images: class-disjoint: 100 test images of 40 classes of their own." in text
    assert "| R@4 |" in text
    rows[-1]["classes_tested"] = "another draw"
    text = markdown_of(composed(made))
    assert "Test images (the first of 2 draws): class-disjoint" in text


def test_only_primaries_carry_a_verdict(report: Report, made: Any) -> None:
    """Every row of every table but that of the primaries, in the Markdown that is read."""
    text = markdown_of(report)
    own = text[text.index("| effect of |") : text.index("\nDifferences with")]
    rows = [line for line in text.replace(own, "").splitlines() if line.startswith("|")]
    assert any(line.startswith("| KoLeo at K=1 |") for line in rows)
    for line in rows:
        assert not [claim for claim in CLAIMS if claim in line], line
    for one in findings(made.trials, made.curves, made.stored, made.groups):
        assert bool(one.sentence) == (one.contrast.family == "primary")


def grown_sweep(make: Make) -> Any:
    made = make(replicates=7)
    made.plan["extended"] = [{"plan_sha256": "b" * 64, "samples": 0, "blocks": 2, "replicates": 5}]
    return made


def young_sweep(make: Make) -> Any:
    made = make(replicates=5)
    made.plan["looked"] = True
    return made


def failing_sweep(make: Make) -> Any:
    made = make(replicates=6)
    made.lose("koleo=on,accum_steps=4", 2)
    made.lose("koleo=off,accum_steps=1", 3)
    return made


SWEEPS: dict[str, Callable[[Make], Any]] = {
    "plain": lambda make: make(),
    "grown": grown_sweep,
    "young": young_sweep,
    "failing": failing_sweep,
    "one tuning": lambda make: make(replicates=1, blocks=8),
    "drop-in": lambda make: make(replicates=7, blocks=1, points=0),
}

CLAIMING = (*(set(CLAIMS) - {"beyond", "pilot, no verdict"}), "do not settle", "too little to matter")
"""In running text, where what is beyond something else may be said."""


@pytest.mark.parametrize("name", SWEEPS)
def test_no_paragraph_or_caption_but_of_the_primaries_claims_anything(name: str, told: Told) -> None:
    _, report = told(name)
    for section in report.sections[1:]:
        for text in (*section.paragraphs, *(picture.reading for picture in section.pictures)):
            assert not [claim for claim in CLAIMING if claim in text], text


@pytest.mark.parametrize("name", SWEEPS)
def test_equal_weights_on_one_outcome_have_one_interval_everywhere(name: str, told: Told) -> None:
    made, _ = told(name)
    found = findings(made.trials, made.curves, made.stored, made.groups)
    printed: dict[Any, set[str]] = {}
    shared = 0
    told = [(one.contrast.outcome, one.contrast.weights, one.estimated) for one in found if one.estimated is not None]
    for each in comparisons(made.trials, made.stored):
        told += [(each.outcome, each.weights[part], getattr(each, part)) for part in PARTS if not each.bare]
    for outcome, weights, estimated in told:
        key = outcome, tuple(sorted((cell, round(weight, 9)) for cell, weight in weights.items() if weight))
        shared += key in printed
        printed.setdefault(key, set()).add(interval(estimated))
    assert shared == (0 if name == "young" else 6)
    assert all(len(texts) == 1 for texts in printed.values()), printed


def test_seeds_without_tuning_are_called_seeds(told: Told) -> None:
    _, report = told("drop-in")
    text = markdown_of(report)
    assert {row[0]: row[1] for row in table_of(report, "Effect").rows}["based on"] == "7 seeds"
    assert "of a t test over seeds" in text
    assert "Each line is one seed" in text
    assert "the mean over its seeds" not in text
    assert "seeds x classes" in text


def test_one_tuning_is_told_wherever_seeds_are_the_units(told: Told) -> None:
    text = markdown_of(told("one tuning")[1])
    assert "| seeds x classes, at one tuning |" in text
    assert "validation split; over seeds at one tuning." in text
    assert "Means over the seeds at one tuning that each cell ran in" in text
    assert "the sign is not settled for other classes" not in text


def test_below_six_replicates_a_second_look_has_estimates_alone(told: Told) -> None:
    _, report = told("young")
    text = markdown_of(report)
    assert "hold at every look" not in text
    assert "Sweeps were joined whose reports could be read before." in text
    assert not any("[" in cell for cell in table_of(report, "KoLeo against accumulation").rows[0])


def test_common_settings_tell_points_that_failed(make_factorial: Make) -> None:
    made = make_factorial(replicates=4)
    point = next(row for row in made.tables.trial_rows if row["stage"] == "tune")
    point |= {"end_reason": "diverged", "final_val_auc": None}
    text = markdown_of(composed(made))
    assert "ran the same settings, of which 1 run failed, counted as .5." in text
    assert "to their end" not in text


def test_controls_have_the_same_digits_everywhere(make_factorial: Make) -> None:
    made = make_factorial(replicates=2, blocks=2)
    entry = {"code": "A/A", "label": "off at K=4", "family": "control", "outcome": "test_auc", "estimand": "control"}
    made.plan["contrasts"].append(
        entry | {"weights": {"koleo=off,accum_steps=1": -1.0, "koleo=off,accum_steps=4": 1.0}}
    )
    section = controls(findings(made.trials, made.curves, made.stored))
    size = section.tables[0].rows[0][1]
    assert f"(root mean square {size};" in section.paragraphs[0]
    assert f"root mean square {size} over" in section.paragraphs[1]


def test_digits_agree_in_sentence_table_and_figure(report: Report, made: Any) -> None:
    drawn = {one.name: texts(svg_of(one.drawn())) for one in report.pictures if one.name in ("forest", "paired-koleo")}
    forest = drawn["forest"]
    assert report.first is not None
    assert report.first.table is not None
    for i, one in enumerate(findings(made.trials, made.curves, made.stored, made.groups)[:4]):
        assert one.effect is not None
        low, high = ends(one.effect).split(" to ")
        assert report.first.table.rows[i][1] == interval(one.effect)
        assert interval(one.effect).endswith(f" [{low}, {high}]")
        assert interval(one.effect) in forest
        bare = sorted(end.lstrip("+-") for end in (low, high))
        printed = [end.lstrip("+-") for end in re.findall(r"[-+]?\.\d+", one.sentence)]
        assert set(bare) <= set(printed), one.sentence
    if "koleo" in made.plan["contrasts"][0]["estimand"]:
        first = findings(made.trials, made.curves, made.stored)[0].effect
        assert first is not None
        assert interval(first) in drawn["paired-koleo"]


@pytest.mark.slow
def test_files_and_page_show_the_same_figures(made: Any, tmp_path: Path) -> None:
    folder = made.write(tmp_path / "sweep")
    html = render_sweep(folder).read_text(encoding="utf-8")
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {"forest", "interaction", "isolation", "dose", "tuning", "curves-tune", "paired-koleo"} <= names
    assert len(re.findall(r"<svg", html)) == len(names)


def test_one_tuning_says_so_in_sentence_and_table(told: Told) -> None:
    _, report = told("one tuning")
    assert all("at one tuning: 8 seeds" in sentence for sentence in report.verdicts)
    primary = {row[0]: row[1:] for row in table_of(report, "Effect").rows}
    assert primary["based on"] == ["at one tuning: 8 seeds"] * 4
    assert report.first is not None
    assert report.first.table is not None
    assert [row[2] for row in report.first.table.rows] == ["pilot, no verdict"] * 4
    assert {"p (times 4)", "P(A > B)", "detectable (power .8)"}.isdisjoint(primary)
    assert "Another tuning of the same sweep may land outside it" in markdown_of(report)


def test_a_sweep_that_grew_says_why_its_intervals_are_wider(told: Told) -> None:
    text = markdown_of(told("grown")[1])
    assert "Replicates 6 to 7 were added after the first 5 could be looked at." in text
    assert "interval valid at every look" in text
    assert "1.6 to 1.9 times as wide" in text


def test_replicates_that_have_not_finished_are_told_once(make_factorial: Make) -> None:
    made = make_factorial(replicates=6)
    made.tables.trial_rows = [r for r in made.tables.trial_rows if r["replicate"] < 4 or r["stage"] == "tune"]
    report = composed(made)
    line = "Not estimated yet: replicates 4 to 6 have not finished (24 runs); `--resume` goes on."
    assert report.verdicts == [line]
    assert markdown_of(report).count("not finished (") == 1


def test_a_proposing_tuner_and_recall_are_told_as_what_they_are(make_factorial: Make) -> None:
    made = make_factorial(replicates=4, tuner="optuna", outcome="recall_at_1")
    report = composed(made)
    text = markdown_of(report)
    assert report.verdicts[0].startswith(("KoLeo lowered recall@1 by", "The data do not settle"))
    assert "At common settings" not in [section.heading for section in report.sections]
    assert "| beside it: test AUC |" in text
    assert "Beside it, at settings tuned by validation recall at 1: 95 % intervals" in text
    assert "each cell was tried at 6 settings, and the best by validation recall at 1 was trained" in text
    assert "By validation recall at 1: its value at tuning" in text


@pytest.mark.slow
def test_effects_are_a_frame_with_a_row_per_contrast(make_factorial: Make, tmp_path: Path) -> None:
    frame = effects(make_factorial(replicates=4, points=2).write(tmp_path / "sweep"))
    assert list(frame.columns) == TABLES["contrasts"].names
    assert frame["family"].value_counts().to_dict() == {"exploratory": 12, "primary": 4, "beside": 4, "common": 4}
    primary = frame[frame["family"] == "primary"]
    assert primary["verdict"].notna().all()
    assert (primary["family_size"] == 4).all()
    assert frame[frame["family"] != "primary"]["verdict"].isna().all()
    assert frame["epoch"].isna().all()


def test_treatments_of_the_same_name_are_told_apart(make_factorial: Make) -> None:
    made = make_factorial({"koleo=off": 0.9, "koleo=on": 0.92}, replicates=4)
    made.plan["contrasts"].append(made.plan["contrasts"][0] | {"estimand": "again"})
    report = composed(made)
    assert table_of(report, "Effect").header == ["primary", "KoLeo (koleo)", "KoLeo (again)"]
