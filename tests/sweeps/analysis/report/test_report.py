import hashlib
import json
import re
import tomllib
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from embedding_core.errors import Faults
from sweeps.analysis.document import Report
from sweeps.analysis.report import trial_table
from sweeps.analysis.report.compose import compose, render_sweep
from sweeps.analysis.report.render import html_of, markdown_of
from sweeps.results.schema import TABLES
from sweeps.results.store import Store, read

Make = Callable[..., Any]

QUICK = (
    "KoLeo (weight .1) lowered AUC by .0188 [.0162, .0215] (7 seeds, digits, fixed triplets, drop-in: nothing tuned): "
    "more than the .003 that matters."
)

PLAIN = "KoLeo (weight .1) lowered AUC by .0188 [.0162, .0215]: more than the .003 that matters."
"""The same where the brackets' content stands in the line on what was run."""


class Page(HTMLParser):
    """Tags, attributes and the text in reading order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if data.strip() and self.tags[-1] not in ("style", "title", "script"):
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def rendered(full_sweep: Path) -> Path:
    """The folder of a full sweep with its report."""
    render_sweep(full_sweep)
    return full_sweep


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def planned(folder: Path) -> pa.Table:
    """Rows of the planned outcomes, without the marks of the curves and the measures of the mechanism."""
    return read(folder, "contrasts").filter(pc.is_valid(pc.field("verdict")))


def test_the_templates_are_part_of_the_package() -> None:
    folder = files("sweeps.analysis.report")
    assert folder.joinpath("report.html.j2").read_text(encoding="utf-8").startswith("{#")
    assert "## {{ section.heading }}" in folder.joinpath("report.md.j2").read_text(encoding="utf-8")
    declared = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())
    assert "*.j2" in declared["tool"]["setuptools"]["package-data"]["sweeps.analysis.report"]


@pytest.mark.slow
def test_verdict_comes_first_and_is_in_every_output(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    folder = make_confirm(effect=-0.021).write(tmp_path / "quick", plan=plan)
    page = page_of(render_sweep(folder))
    assert page.texts[:2] == [PLAIN, "koleo_accum: Does KoLeo help?"]
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.startswith(f"**{PLAIN}**")
    assert "7 seeds: 14 runs on digits" in text[: text.index("\n## ")]
    (row,) = planned(folder).to_pylist()
    assert (row["sentence"], row["verdict"], row["n"], row["metric"]) == (QUICK, "beyond", 7, "test_auc")
    assert (row["control"], row["treatment"], row["sesoi"]) == ("koleo=off", "koleo=on", 0.003)
    words = " ".join(page.texts)
    assert "Drop-in : nothing was tuned, so" in words
    assert "KoLeo and KoLeo off differ in: koleo, koleo_weight." in words


def test_a_full_sweep_has_every_section_in_order(rendered: Path) -> None:
    html = (rendered / "report.html").read_text(encoding="utf-8")
    assert headings(html) == [
        "Effect",
        "Seed by seed",
        "What this can and cannot say",
        "Sensitivity",
        "Failure risk",
        "Learning curves",
        "What changes in the embeddings",
        "Mechanism",
        "Best configuration",
        "Search",
        "What the search alone would have suggested",
        "Importance of the settings in the search",
        "Runs per arm and ending",
        "Trials",
        "Relative cost",
        "Cost",
        "Provenance",
        "Glossary",
    ]
    markdown = (rendered / "report.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", markdown, flags=re.MULTILINE) == headings(html)
    text = markdown.replace("\\", "")
    for said in (
        "unequal numbers of trials per arm (KoLeo off 39, of which",
        "koleo=on: 1 diverged of 7 runs, counted as .5 (test AUC).",
        "KoLeo (weight .1), test AUC: without the blocks of failed runs the difference is -.0",
        "At one tuning: the interval is over seeds alone.",
        "python -m embedding_core.train ",
        "unfinished",
        "koleo_weight, which only",
        "Read naively, KoLeo differs from KoLeo off by",
        "None of these is an estimate of an effect",
        "Paired runs, on the test split: Pilot, no verdict on whether KoLeo (weight .1) changes AUC",
    ):
        assert said in text


def test_every_figure_is_in_the_page_and_on_disk_and_is_xml(rendered: Path) -> None:
    html = (rendered / "report.html").read_text(encoding="utf-8")
    files = sorted(path.stem for path in (rendered / "figures").iterdir())
    assert files == [
        "curves-confirm",
        "curves-search",
        "epochs-koleo",
        "importances",
        "paired-koleo",
        "plane",
        "search",
    ]
    for name in files:
        ET.parse(rendered / "figures" / f"{name}.svg")
    inline = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(inline) == len(files)
    for svg in inline:
        ET.fromstring(svg)
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    markdown = (rendered / "report.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\(figures/(.*)\.svg\)", markdown)) == files


def test_the_page_fetches_nothing(rendered: Path) -> None:
    path = rendered / "report.html"
    page = page_of(path)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    assert all(value.startswith("#") for name, value in page.attributes if name == "href" and value)
    html = path.read_text(encoding="utf-8")
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) <= {"#"}


def test_nothing_runs_on_the_page_but_its_own_script(rendered: Path) -> None:
    html = (rendered / "report.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert policy.endswith(f"script-src 'sha256-{digest}'")


def test_every_link_leads_to_something_on_the_page(rendered: Path) -> None:
    page = page_of(rendered / "report.html")
    ids = {value for name, value in page.attributes if name == "id"}
    links = [value for name, value in page.attributes if name == "href" and value]
    assert {link.removeprefix("#") for link in links} <= ids
    terms = [link for link in links if link.startswith("#g-")]
    assert len(terms) == len(set(terms)) > 5
    assert {one for one in ids if one and one.startswith("g-")} == {link.removeprefix("#") for link in terms}


@pytest.mark.slow
def test_hostile_names_are_text(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>|`*&\"'"
    tables = make_confirm()
    for row in tables.trial_rows:
        row |= {"study_id": hostile, "argv": hostile, "dataset": hostile, "error_type": hostile}
    plan["question"] = hostile
    plan["contrasts"][0] |= {"treatment_label": hostile, "estimand": "../" + hostile}
    folder = tables.write(tmp_path / "hostile", plan=plan)
    page = page_of(render_sweep(folder))
    assert page.tags.count("script") == 2  # the trials as data, and the page's own
    assert f"{hostile}: {hostile}" in page.texts
    assert f"{len(tables.trial_rows)} trials: {hostile}" in page.texts
    assert "<script" not in (folder / "report.md").read_text(encoding="utf-8").replace("\\<script", "")
    assert all(path.parent == folder / "figures" for path in folder.rglob("*.svg"))


@pytest.mark.slow
def test_same_inputs_same_bytes(full_sweep: Path) -> None:
    def outputs() -> dict[str, bytes]:
        render_sweep(full_sweep)
        written = [*full_sweep.glob("report.*"), *full_sweep.glob("figures/*"), *full_sweep.glob("v1/contrasts/**/*")]
        return {str(path): path.read_bytes() for path in written if path.is_file()}

    first = outputs()
    assert len(first) == 2 + 7 + 1
    assert outputs() == first


@pytest.mark.slow
def test_search_alone_claims_nothing(make_search: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    folder = make_search().write(tmp_path / "s", plan=plan)
    html = render_sweep(folder).read_text(encoding="utf-8")
    assert Page(html).texts[0] == (
        "Nothing is claimed about an effect: only the adaptive search has run (60 search trials), which does not "
        "compare."
    )
    assert "Effect" not in headings(html)
    assert html.count("descriptive: adaptive sample") >= 3
    assert not read(folder, "contrasts").num_rows


@pytest.mark.slow
def test_contrast_of_an_earlier_render_does_not_outlive_its_data(make_search: Make, tmp_path: Path) -> None:
    folder = make_search().write(tmp_path / "s")
    names = dict.fromkeys(TABLES["contrasts"].names)
    Store.open(folder).replace("contrasts", [names | {"estimand": "old"}])
    (folder / "figures").mkdir()
    (folder / "figures" / "paired-old.svg").write_text("<svg/>")
    render_sweep(folder)
    assert not read(folder, "contrasts").num_rows
    assert not (folder / "figures" / "paired-old.svg").exists()


def test_interrupted_confirm_names_what_is_missing(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    tables = make_confirm()
    tables.trial_rows.pop()
    report = compose(tables.write(tmp_path / "i", plan=plan))
    assert report.verdicts[0].startswith("Not estimated: the effect of KoLeo (weight .1). Incomplete blocks")
    assert "`koleo=on` block 7 (no finished trial)" in report.verdicts[0]
    assert "unfinished" in markdown_of(report)


def test_curves_alone_are_reported_as_unfinished(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    tables = make_confirm()
    tables.trial_rows = []
    report = compose(tables.write(tmp_path / "c", plan=plan))
    assert report.verdicts == [
        "Nothing is claimed about an effect yet: the confirm stage has not finished (14 confirm trials)."
    ]


def test_pilot(make_confirm: Make, tmp_path: Path) -> None:
    report = compose(make_confirm(blocks=3).write(tmp_path / "p"))
    assert report.verdicts[0].startswith("Pilot, no verdict on whether KoLeo changes AUC: +.0")


@pytest.mark.slow
def test_swapped_arms_are_refused_in_the_report(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    tables = make_confirm()
    for row in tables.trial_rows:
        row["cell_id"] = "koleo=on" if row["cell_id"] == "koleo=off" else "koleo=off"
    folder = tables.write(tmp_path / "w", plan=plan)
    assert "mislabelled" in page_of(render_sweep(folder)).texts[0]
    assert not read(folder, "contrasts").num_rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not readable as JSON"),
        ("[]", "must hold an object"),
        ('{"contrasts": {}}', "must be a list"),
        ('{"contrasts": [{"control": "koleo=off"}]}', "needs `treatment`"),
        ('{"contrasts": [{"control": "a", "treatment": "b", "sesoi": -1}]}', "positive and finite"),
        ('{"contrasts": [{"control": "a", "treatment": "b", "outcome": 3}]}', "`outcome` of a planned contrast"),
    ],
)
def test_broken_plans_are_faults(make_confirm: Make, tmp_path: Path, text: str, said: str) -> None:
    folder = make_confirm(blocks=2).write(tmp_path / "b")
    (folder / "plan.json").write_text(text)
    with pytest.raises(Faults, match=said):
        render_sweep(folder)


def test_contrasts_have_the_columns_of_the_schema(rendered: Path) -> None:
    table: pa.Table = read(rendered, "contrasts")
    assert table.schema.names == TABLES["contrasts"].names
    (row,) = planned(rendered).to_pylist()
    at_one_tuning = {"tau_squared", "detectable_low", "detectable_high"}
    without_classes = {"crossed_low", "crossed_high"}
    absent = {name for name, value in row.items() if value is None}
    assert absent == {"code", "epoch", *at_one_tuning, *without_classes}


@pytest.mark.slow
def test_collapsed_runs_and_errors_are_told(make_confirm: Make, tmp_path: Path) -> None:
    tables = make_confirm()
    for row in tables.trial_rows:
        row["collapsed"] = row["cell_id"] == "koleo=off" and row["block"] <= 3
    failed = {"stage": "search", "trial_id": "t00099", "end_reason": "error", "error_type": "OSError: disk full"}
    tables.trial_rows.append(dict(tables.trial_rows[0]) | failed)
    text = markdown_of(compose(tables.write(tmp_path / "told")))
    assert "koleo=off: embeddings had collapsed at the last epoch of 3 of 7 runs, which count with the test AUC" in text
    assert "koleo=on: embeddings had collapsed" not in text
    assert "1 trial: OSError: disk full" in text


@pytest.mark.slow
def test_outcomes_that_a_retry_replaced_are_named_by_cell(
    make_confirm: Make, plan: dict[str, Any], tmp_path: Path
) -> None:
    """Of three first attempts with a second, two had an outcome; one that was cut off had none to replace."""
    folder = make_confirm().write(tmp_path / "retried", plan=plan)
    rows = {row["trial_id"]: row for row in read(folder, "trials").to_pylist()}
    again = {"t00000": "collapsed", "t00002": "diverged", "t00004": "preempted"}  # all of koleo=off
    store = Store.open(folder)
    for trial_id, reason in again.items():
        row = {name: value for name, value in rows[trial_id].items() if name != "stage"}
        first = row | {"end_reason": reason, "test_auc": None}
        store.write("trials", "confirm", trial_id, 1, [first])
        store.write("trials", "confirm", trial_id, 1, [first])  # a driver that died in between writes it again
        store.write("trials", "confirm", trial_id, 2, [row | {"attempt": 2}])
    text = markdown_of(compose(folder))
    assert text.count("were run again") == 1
    assert "koleo=off: confirm runs that had ended (1 collapsed, 1 diverged) were run again, and the later" in text
    assert "were run again" not in markdown_of(compose(make_confirm().write(tmp_path / "once", plan=plan)))


@pytest.mark.slow
def test_two_thousand_trials_stay_small(make_confirm: Make, plan: dict[str, Any], tmp_path: Path) -> None:
    folder = make_confirm(blocks=10).write(tmp_path / "few", plan=plan)
    few = [read(folder, name) for name in ("trials", "curves")]
    trials, curves = (pa.concat_tables([_renamed(table, f"{i:03d}") for i in range(100)]) for table in few)
    section = trial_table.section(trials, curves, outcome="test_auc", folder="results/many")
    assert section.trials is not None
    assert len(section.trials.rows) == 2000
    page = html_of(Report("many", "", ["Nothing."], [section]), {})
    assert len(page) < 5e6
    (data,) = re.findall(r'<script type="application/json" id="trials">(.*?)</script>', page)
    told = json.loads(data)
    assert all(len(told[name]) == 2000 for name in ("settings", "curves", "commands"))
    assert all(told["curves"])
    assert told["commands"][0] == "koleo-sweeps replay results/many t00000-000"


def _renamed(table: pa.Table, end: str) -> pa.Table:
    ids = pc.binary_join_element_wise(table["trial_id"], end, "-")
    return table.set_column(table.column_names.index("trial_id"), "trial_id", ids)
