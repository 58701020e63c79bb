"""The page in a real browser: it is whole, fetches nothing, fits a phone and prints."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sweeps.analysis.report.compose import render_sweep

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev`)")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")]

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
    "gap",
    "distances-test",
    "spectra-test",
    "pca-test",
    "umap-test",
    "images-test-1",
    "neighbours-test-1",
}
"""What a sweep of all stages shows, among others."""

FIGURES = """() => [...document.querySelectorAll('figure svg')].map(svg => {
    const box = svg.getBoundingClientRect();
    const cut = [...svg.querySelectorAll('text')].filter(text => {
        const own = text.getBoundingClientRect();
        return own.width && (own.left < box.left - 1 || own.right > box.right + 1 ||
            own.top < box.top - 1 || own.bottom > box.bottom + 1);
    });
    return {label: svg.getAttribute('aria-label'), width: box.width, height: box.height,
        shapes: svg.querySelectorAll('path, use, image').length, cut: cut.map(text => text.textContent)};
})"""

TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(node =>
    !node.closest('.wide, svg') && node.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map(node => node.tagName + ': ' + node.textContent.slice(0, 60))"""


@dataclass
class Opened:
    """A page and what it said and asked for while loading."""

    page: Any
    console: list[str]
    requests: list[str]


@pytest.fixture
def opened(staged_folder: Path) -> Iterator[Opened]:
    path = render_sweep(staged_folder)
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


def test_the_page_is_whole_on_a_phone_on_a_desk_and_on_paper(opened: Opened) -> None:
    page = opened.page
    assert opened.console == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [page.url]
    names = {path.stem for path in Path(page.url.removeprefix("file://")).parent.glob("figures/*.svg")}
    assert names >= KINDS
    for width in (360, 1200):
        page.set_viewport_size({"width": width, "height": 780})
        figures = page.evaluate(FIGURES)
        assert len(figures) == len(names)
        for figure in figures:
            assert figure["width"] > 200, figure
            assert figure["height"] > 100, figure
            assert figure["shapes"] > 3, figure
            assert figure["cut"] == [], figure
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(TOO_WIDE) == []
    page.emulate_media(media="print")
    assert page.evaluate(TOO_WIDE) == []
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") > 3
