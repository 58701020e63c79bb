"""What the table of all trials costs a reader: size of a report's page, first paint, and how fast it answers.

    python benchmarks/report_page.py [--trials 2000] [--rounds 5]

A report whose table has `--trials` trials with twelve settings and curves of ten epochs, opened from a file in headless
Chromium, a new page each round; first paint is the browser's own entry `first-contentful-paint`, sorting and filtering
are from the click to the next frame. Medians over rounds; targets: below 5 MB, first paint below 1 s.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine_class
from playwright.sync_api import Page, sync_playwright

from sweeps.analysis.document import FirstScreen, Report, Section, TrialTable
from sweeps.analysis.report.render import html_of
from sweeps.results.schema import STAGES

TARGET_BYTES, TARGET_S = 5e6, 1.0
EPOCHS, SETTINGS = 10, 12
CELLS = [f"koleo=on,koleo_exclude_same_class={level},accum_steps={k}" for level in ("off", "on") for k in (1, 4)]

PAINT = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()
    .find(one => one.name === 'first-contentful-paint').startTime / 1000)).observe({type: 'paint', buffered: true}))"""

CLICKED = """button => new Promise(done => { const start = performance.now(); button.click();
    requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000))); })"""

CHOSEN = """select => new Promise(done => { const start = performance.now(); select.selectedIndex = 1;
    select.dispatchEvent(new Event('change'));
    requestAnimationFrame(() => setTimeout(() => done((performance.now() - start) / 1000))); })"""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    page = page_of(arguments.trials)
    print(machine_class())
    size = len(page.encode())
    print(f"{arguments.trials:,} trials: {size / 1e6:.2f} MB, target {TARGET_BYTES / 1e6:g} MB")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        rounds = [_round(browser.new_page(), path) for _ in range(arguments.rounds)]
        browser.close()
    for i, what in enumerate(("first paint", "sort by a value", "choose a stage")):
        values = [one[i] for one in rounds]
        print(f"{what}: median {statistics.median(values):.3f} s of {len(values)}, worst {max(values):.3f} s")
    worst = max(one[0] for one in rounds)
    print("met" if size < TARGET_BYTES and worst < TARGET_S else "MISSED")


def page_of(n: int) -> str:
    """A report with `n` invented trials."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.88, 0.02, (n, EPOCHS)).round(4)
    rows: list[list[Any]] = []
    for i in range(n):
        stage, cell = STAGES[i % 3], CELLS[i % len(CELLS)]
        ending = "ASHA stopped" if i % 4 == 1 else "completed"
        scores = [f"{values[i, -1]:.4f}", f"{values[i].max():.4f}", f"{rng.uniform(5, 60):.1f}"]
        rows.append([f"t{i:05d}", stage, cell, str(i % 10 + 1), str(i % 3 + 1), ending, str(EPOCHS), *scores])
    table = TrialTable(
        header=[
            "trial", "stage", "cell", "replicate", "block", "ending", "epochs", "validation AUC", "test AUC", "s"
        ],
        rows=rows,
        filters=["stage", "cell", "ending"],
        names=[f"setting_{i}" for i in range(SETTINGS)],
        settings=[[f"{value:.6f}" for value in rng.uniform(0, 1, SETTINGS)] for _ in range(n)],
        curves=values.tolist(),
        commands=[f"koleo-sweeps replay results/many t{i:05d}" for i in range(n)],
        measure="validation AUC",
    )  # fmt: skip
    section = Section("Trials", ["All trials."], trials=table, part="What ran")
    return html_of(Report("many", "", [], [section], first=FirstScreen(["Nothing is claimed.", "An example."])), {})


def _round(page: Page, path: Path) -> tuple[float, float, float]:
    """Seconds until the first paint, of a sort and of a choice, with the table unfolded."""
    page.goto(path.as_uri())
    paint = page.evaluate(PAINT)
    page.evaluate("document.querySelector('details.section').open = true")
    sort = page.locator("table.trials thead button", has_text="test AUC").evaluate(CLICKED)
    choose = page.get_by_label("stage", exact=True).evaluate(CHOSEN)
    page.close()
    return paint, sort, choose


if __name__ == "__main__":
    main()
