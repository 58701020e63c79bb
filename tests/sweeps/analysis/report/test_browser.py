"""The page in a real browser: it is whole, fetches nothing, fits a phone and prints."""

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sweeps.analysis.document import FirstScreen, Report, Section, TrialTable
from sweeps.analysis.figures.embeddings import images, neighbours
from sweeps.analysis.report.compose import render_comparison, render_sweep
from sweeps.analysis.report.render import html_of
from tests.sweeps.analysis.invented import stages, views

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]

Make = Callable[..., Any]

KINDS = {
    "interaction",
    "forest",
    "isolation",
    "dose",
    "tuning",
    "curves-search",
    "curves-tune",
    "curves-confirm",
    "search",
    "stopping",
    "importances",
    "plane",
    "distances-test",
    "spectra-test",
    "micro-batches",
    "pca-test",
    "umap-test",
    "images-test-1",
    "neighbours-test-1",
}
"""What a sweep of all stages shows, among others."""

FIGURES = """() => [...document.querySelectorAll('figure:not(.moving) svg')].map(svg => {
    const box = svg.getBoundingClientRect();
    const cut = [...svg.querySelectorAll('text')].filter(text => {
        const own = text.getBoundingClientRect();
        return own.width && (own.left < box.left - 1 || own.right > box.right + 1 ||
            own.top < box.top - 1 || own.bottom > box.bottom + 1);
    });
    return {label: svg.getAttribute('aria-label'), width: box.width, height: box.height,
        shapes: svg.querySelectorAll('path, use').length, images: svg.querySelectorAll('image').length,
        cut: cut.map(text => text.textContent)};
})"""

FRAME = 30
"""Paths of a figure of one panel that shows nothing: grounds, spines and ticks."""

TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(node =>
    !node.closest('.wide, svg') && node.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map(node => node.tagName + ': ' + node.textContent.slice(0, 60))"""


@dataclass
class Opened:
    """A page and what it said and asked for while loading."""

    page: Any
    console: list[str]
    requests: list[str]


@contextmanager
def opening(path: Path) -> Iterator[Opened]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 780})
        found = Opened(page, [], [])
        page.on("console", lambda message: found.console.append(message.text))
        page.on("pageerror", lambda error: found.console.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri())
        yield found
        browser.close()


@pytest.fixture(scope="module")
def staged_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of all stages, with views."""
    folder = stages.staged_sweep().write(tmp_path_factory.mktemp("staged") / "sweep")
    views.write_views(folder, stages.CELLS)
    return render_sweep(folder)


@pytest.fixture
def opened(staged_page: Path) -> Iterator[Opened]:
    with opening(staged_page) as found:
        yield found


@pytest.fixture(scope="module")
def reports(
    make_confirm: Make, make_factorial: Make, make_arms: Make, many: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Two cells; five in two sweeps, one for each outcome, and both side by side; eleven cells."""
    folder = tmp_path_factory.mktemp("reports")
    five = {
        "koleo=off": 0.9,
        **{
            f"koleo=on,koleo_exclude_same_class={exclude},accum_steps={k}": 0.9 + 0.01 * k
            for exclude in ("off", "on")
            for k in (1, 4)
        },
    }
    auc, recall = (
        make_factorial(five, replicates=4, outcome=outcome).write(folder / outcome)
        for outcome in ("auc", "recall_at_1")
    )
    return {
        "two": render_sweep(make_confirm(effect=-0.021).write(folder / "two")),
        "auc": render_sweep(auc),
        "recall": render_sweep(recall),
        "both": render_comparison(auc, recall, folder / "both"),
        "eleven": render_sweep(make_arms(many, blocks=2).write(folder / "eleven")),
    }


@pytest.mark.parametrize("name", ["two", "auc", "recall", "both", "eleven"])
def test_no_report_overflows_complains_or_asks_for_anything(name: str, reports: dict[str, Path]) -> None:
    with opening(reports[name]) as found:
        page = found.page
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in (360, 900, 1600):
                page.set_viewport_size({"width": width, "height": 800})
                for _ in ("unfolded", "folded"):
                    page.locator("nav button").click()
                    assert page.evaluate("document.documentElement.scrollWidth") <= width
                    assert page.evaluate(TOO_WIDE) == []
        assert found.console == []
        assert [url for url in found.requests if not url.startswith("data:")] == [page.url]


def test_sections_fold_and_unfold_for_a_link_and_for_print(reports: dict[str, Path]) -> None:
    with opening(reports["two"]) as found:
        page = found.page
        page.set_viewport_size({"width": 1600, "height": 800})
        assert page.locator("details.section[open]").count() == 0
        page.locator("nav a", has_text="Provenance").click()
        assert page.locator("details.section[open] h2").all_text_contents() == ["Provenance"]
        assert page.locator("nav").bounding_box()["y"] >= 0  # stays in view
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details.section:not([open])").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details.section[open]").count() == 1


def test_trials_are_sorted_filtered_and_told(opened: Opened) -> None:
    page = opened.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("nav a", has_text=re.compile("^Trials$")).click()
    rows = page.locator("table.trials tbody tr.more")
    counts = {"stage": "tune", "cell": "koleo=on,accum_steps=4", "ending": "completed"}
    left = rows.count()
    for column, (name, value) in enumerate(counts.items()):
        page.get_by_label(name, exact=True).select_option(value)
        texts = rows.locator(f"td:nth-child({(2, 3, 6)[column]})").all_text_contents()
        assert set(texts) == {value}
        assert len(texts) < left
        left = len(texts)
    head = page.locator("table.trials thead button", has_text="validation AUC")
    values = rows.locator("td:nth-child(8)")
    head.click()
    ascending = values.all_text_contents()
    assert ascending == sorted(ascending)
    head.click()
    assert values.all_text_contents() == ascending[::-1]
    page.get_by_role("button", name="Copy as CSV").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = list(csv.DictReader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert [row["validation AUC"] for row in copied] == ascending[::-1]
    assert {row["cell"] for row in copied} == {"koleo=on,accum_steps=4"}
    assert all(float(row["lr"]) > 0 for row in copied)
    first = rows.first.locator("th").text_content()
    rows.first.press("Enter")
    detail = page.locator("tr.detail")
    assert re.search(rf"koleo-sweeps replay .* {first}", detail.locator("pre").text_content())
    assert "lr ." in detail.locator("p").text_content()
    assert "validation AUC by mark" in detail.locator("svg title").text_content()
    rows.first.press("Enter")
    assert detail.count() == 0
    assert opened.console == []


def test_a_table_of_many_trials_is_sorted_whole_though_few_rows_are_laid_out(tmp_path: Path) -> None:
    texts = [f"{(17 * i) % 450}" for i in range(450)]
    table = TrialTable(["trial", "s"], [["t", text] for text in texts], [], [], [[]] * 450, [[]] * 450, [""] * 450, "")
    section = Section("Trials", trials=table)
    path = tmp_path / "report.html"
    path.write_text(html_of(Report("many", "", [], [section], first=FirstScreen(["Many."])), {}), encoding="utf-8")
    with opening(path) as opened:
        page = opened.page
        page.evaluate("document.querySelector('details.section').open = true")
        page.locator("table.trials thead button", has_text="s").click()
        values = page.locator("table.trials tbody td")
        assert 20 < values.count() < 450
        assert values.all_text_contents() == [str(i) for i in range(values.count())]
        for _ in range(10):
            page.locator(".scroll").evaluate("box => { box.scrollTop = box.scrollHeight; }")
            page.wait_for_timeout(20)
        assert values.all_text_contents() == [str(i) for i in range(450)]
        page.locator("table.trials thead button", has_text="s").click()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert values.all_text_contents() == [str(i) for i in reversed(range(450))]


def test_the_slider_for_k_takes_neighbours_away_and_turns_arrows(opened: Opened) -> None:
    page = opened.page
    page.locator("nav a", has_text=re.compile("^Embeddings$")).click()
    slider = page.get_by_role("slider", name="accumulation steps K")
    told, lines, arrows = (page.locator(f"figure.moving {name}") for name in ("output", ".slide line", ".slide g"))
    seen, turned = [], []
    slider.focus()
    for _ in range(4):
        shown = lines.evaluate_all("all => all.filter(line => line.style.opacity === '1').length")
        assert f"; {shown} of 64 images" in told.text_content()
        seen.append(shown)
        turned.append(arrows.evaluate_all("all => all.map(arrow => arrow.style.transform)"))
        slider.press("ArrowRight")
    assert seen[0] == 64
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < 32
    assert len({tuple(one) for one in turned}) == 4
    assert sum(a != b for a, b in zip(turned[0], turned[-1], strict=True)) == 64 - seen[-1]
    assert slider.get_attribute("aria-valuetext") == "K = 16"
    page.emulate_media(reduced_motion="reduce")
    assert arrows.first.evaluate("arrow => getComputedStyle(arrow).transitionDuration") == "0s"
    page.emulate_media(media="print")
    assert page.locator("figure.moving > svg:not(.slide)").is_visible()
    assert not slider.is_visible()
    assert opened.console == []


def test_the_page_is_whole_on_a_phone_on_a_desk_and_on_paper(opened: Opened) -> None:
    page = opened.page
    assert opened.console == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [page.url]
    page.get_by_role("button", name="Unfold all").click()
    names = {path.stem for path in Path(page.url.removeprefix("file://")).parent.glob("figures/*.svg")}
    assert names >= KINDS
    for width in (360, 1200):
        page.set_viewport_size({"width": width, "height": 780})
        figures = page.evaluate(FIGURES)
        assert len(figures) == len(names) - 1  # where the page moves is a test of its own
        for figure in figures:
            assert figure["width"] > 200, figure
            assert figure["height"] > 100, figure
            is_sheet = figure["label"] in (images.READING, neighbours.READINGS["neighbours"])
            assert figure["images"] == 1 if is_sheet else figure["shapes"] > FRAME, figure
            assert figure["cut"] == [], figure
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(TOO_WIDE) == []
    page.emulate_media(media="print")
    assert page.evaluate(TOO_WIDE) == []
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") > 3
