"""Whether a sweep's report is what would be written now, so that it need not be drawn again."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from embedding_core.storage.atomic_write import whole
from sweeps.results import files, frozen

FILE: Final = "report.json"
"""Beside report.html: what the report was made of, by hash."""

PACKAGES: Final = ("embedding_core", "sweeps")
"""Of this project: what computes a report, and what draws it."""

LIBRARIES: Final = ("matplotlib", "numpy", "optuna", "pyarrow", "scikit-learn", "scipy", "statsmodels", "jinja2")
"""Whose next version may draw or compute something else."""


def inputs_of(folder: Path) -> dict[str, str]:
    """What a report of the sweep in `folder` is made of, by hash: tables, plan, code, libraries, and where it lies."""
    tables_dir = files.table_dir(folder, "trials").parent
    made_of = [folder / frozen.FILE, *_below(folder / "compact"), *_below(tables_dir)]
    tables = [path for path in made_of if path.name != files.CONTRASTS_FILE and path.exists()]
    return {"folder": str(folder.resolve()), "tables": _of_stats(folder, tables), "code": _code()}


def current(folder: Path, inputs: Mapping[str, str]) -> Path | None:
    """The page of a sweep if it was made of these inputs and nobody has changed it since; else None.

    Args:
        folder: of the sweep.
        inputs: from `inputs_of`.
    """
    try:
        known = json.loads((folder / FILE).read_text())
        there = known == {**inputs, "report": _report(folder)}
    except (OSError, ValueError):  # no report yet, or none that was noted
        return None
    return folder / "report.html" if there else None


def remember(folder: Path, inputs: Mapping[str, str]) -> None:
    """Note what the report that was written was made of. Never fails: without the note it is drawn anew.

    Args:
        folder: of the sweep.
        inputs: from `inputs_of`, of before the tables were read: rows may have come since.
    """
    with suppress(OSError), whole(folder / FILE) as stream:
        stream.write(json.dumps({**inputs, "report": _report(folder)}).encode())


def _report(folder: Path) -> str:
    pages = [folder / "report.html", folder / "report.md", *_below(folder / "figures")]
    return _of_bytes([*pages, files.table_dir(folder, "contrasts") / files.CONTRASTS_FILE])


def _of_stats(folder: Path, paths: Iterable[Path]) -> str:
    """Files of the store are never changed, only added and replaced: size and time tell."""
    found = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return sha256(json.dumps(found).encode()).hexdigest()


def _of_bytes(paths: Iterable[Path]) -> str:
    digest = sha256()
    for path in paths:
        digest.update(f"{path.name} ".encode() + sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _code() -> str:
    """Of the packages that compute and draw, and the versions of those that they use."""
    own = [path for package in PACKAGES for path in _below(Path(__file__).parents[2] / package)]
    versions = {name: _version(name) for name in LIBRARIES}
    return _of_bytes(path for path in own if path.suffix in (".py", ".j2")) + json.dumps(versions)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _below(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())
