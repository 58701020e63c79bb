"""Effects in the documents are those of the reports they link, and their commands exist: none is from memory."""

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweeps.analysis.numbers import interval
from sweeps.analysis.report.sections.effects import VERDICT_WORDS
from sweeps.analysis.stats.intervals.effects import Interval
from sweeps.cli.help import help_of
from sweeps.commands.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = tuple(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md")))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "AGENTS.md", "Makefile", *PAGES)
GUIDES = (
    "README.md",
    "CONTRIBUTING.md",
    "AGENTS.md",
    *PAGES,
    *(f"docs/design/{file.name}" for file in (ROOT / "docs/design").glob("*.md")),
)
ROOMS = ("embedding_core", "trainables", "sweeps", "tests", "docs", "cluster", "benchmarks", "examples", "dashboards")
ANSWERS = ("README.md", "docs/koleo.md", "docs/studies.md")
FIRST_SCREEN = 15
"""Lines of README before its first heading below the title."""

EFFECT = re.compile(r"[+-]\.\d+ \[[+-]\.\d+, [+-]\.\d+\]")
REPORT = re.compile(r"examples/(\w+)/report\.md")
JUDGED = {words: verdict for verdict, words in VERDICT_WORDS.items()}


def told_rows(document: str) -> list[tuple[str, list[str]]]:
    """Rows of tables that state an effect, and their cells."""
    lines = (ROOT / document).read_text().splitlines()
    rows = [(line, [cell.strip() for cell in line.strip("|").split("|")]) for line in lines if line.startswith("|")]
    return [row for row in rows if EFFECT.search(row[0])]


def contrasts_of(example: str) -> dict[str, set[tuple[int, str | None]]]:
    """The final effects of a committed run as they are printed, each with its n and verdict."""
    found: dict[str, set[tuple[int, str | None]]] = {}
    for row in pq.read_table(ROOT / "examples" / example / "contrasts.parquet").to_pylist():
        if row["epoch"] is None and row["estimate"] is not None:
            ends = (row["estimate"], row["ci_low"], row["ci_high"], row["n"])
            effect = Interval(*ends, row.get("standard_error") or 0.0)  # older tables do not have it
            found.setdefault(interval(effect), set()).add((effect.n, row["verdict"]))
    return found


@pytest.mark.parametrize("document", ANSWERS)
def test_every_effect_in_a_table_is_of_the_report_that_its_row_links(document: str) -> None:
    rows = told_rows(document)
    assert len(rows) >= 8
    for line, cells in rows:
        (example,) = set(REPORT.findall(line))
        committed = contrasts_of(example)
        for stated in EFFECT.findall(line):
            assert stated in committed, f"{document}: {stated} is not in examples/{example}"
            units = {n for n, _ in committed[stated]}
            assert units & {int(cell) for cell in cells if cell.isdigit()}, f"{document}: {stated} is of n = {units}"
        words = [verdict for said, verdict in JUDGED.items() if any(cell.startswith(said) for cell in cells)]
        judged = {verdict for stated in EFFECT.findall(line) for _, verdict in committed[stated]}
        assert not words or judged & set(words), f"{document}: {line}"


def test_nothing_is_left_to_be_filled_in() -> None:
    for document in DOCUMENTS:
        assert not re.findall(r"@[A-Z]+@", (ROOT / document).read_text()), document


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_with_its_flags_exists(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / document).read_text()
    for name, rest in re.findall(r"^koleo-sweeps (\S+)([^#\n]*)", text, flags=re.MULTILINE):
        assert name in COMMANDS, f"{document}: koleo-sweeps {name}"
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, f"{document}: koleo-sweeps {name}{rest}"
    for script, rest in re.findall(r"python sweeps/(\w+)\.py([^#`\n]*)", text):
        flags, presets = known_to(script)
        assert set(re.findall(r"--[a-z-]+", rest)) <= flags, f"{document}: {script}.py{rest}"
        assert set(re.findall(r"--preset (\w[\w-]*)", rest)) <= presets, f"{document}: {script}.py{rest}"
    for module in re.findall(r"python -m ((?:embedding_core|trainables|sweeps)[\w.]*)(?<!\.)", text):
        assert module.endswith(".NAME") or find_spec(module), f"{document}: python -m {module}"


@cache
def known_to(script: str) -> tuple[set[str], set[str]]:
    """Flags and presets of a sweep."""
    design = import_module(f"sweeps.{script}").DESIGN
    return set(re.findall(r"--[a-z-]+", help_of(design))), set(design.presets)


@pytest.mark.parametrize("guide", GUIDES)
def test_every_file_that_a_guide_names_exists(guide: str) -> None:
    """A path may leave out its first folders: `losses/miners.py`."""
    there = [f"/{file.relative_to(ROOT)}" for room in ROOMS for file in (ROOT / room).rglob("*")]
    text = (ROOT / guide).read_text()
    for name in re.findall(r"`([\w./]+\.(?:py|j2|sql))`", text):
        assert "X." in name or any(file.endswith(f"/{name}") for file in there), f"{guide}: {name}"
    for link, heading in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        file = (ROOT / guide).parent.joinpath(link) if link else ROOT / guide
        assert file.exists(), f"{guide}: {link}"
        assert not heading or heading in headings(file), f"{guide}: {link}#{heading}"


def headings(file: Path) -> list[str]:
    """As links name them."""
    found = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found]


def test_the_first_screen_says_what_it_is_shows_a_result_and_how_to_start() -> None:
    screen = (ROOT / "README.md").read_text().partition("\n## ")[0].splitlines()
    assert len(screen) <= FIRST_SCREEN
    text = "\n".join(screen)
    for part in ("![", "make demo", "python sweeps/koleo_accum.py", "](docs/"):
        assert part in text


def test_every_page_is_reached_from_the_readme_and_says_nothing_that_another_says() -> None:
    readme = (ROOT / "README.md").read_text()
    lines: dict[str, str] = {}
    for page in ("README.md", *PAGES):
        assert page == "README.md" or f"]({page})" in readme, page
        for line in set((ROOT / page).read_text().splitlines()):
            if len(line) > 60 and not line.startswith(("|--", "| question", "python ", "koleo-sweeps ")):
                assert line not in lines, f"{page} and {lines[line]}: {line}"
                lines[line] = page
