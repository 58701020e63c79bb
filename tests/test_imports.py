"""Imports point one way, room by room; Ray and torch stay where they belong."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from sweeps.results.store import Store
from tests.import_graph import (
    MODULES,
    PACKAGES,
    ROOT,
    Import,
    below,
    imports,
    imports_of,
    is_below,
    is_package,
    parents,
    reached,
)

SCRIPTS = ", ".join(sorted(file.stem for file in (ROOT / "sweeps").glob("*.py") if file.stem != "__init__"))

ORDERS = {
    "embedding_core.": (
        "errors, wording, seeding -> streams -> plugins -> config -> storage -> data.readers -> data -> metrics "
        "-> losses -> transforms -> models -> views -> evaluation -> training -> train -> embed, conformance",
    ),
    "": (
        "embedding_core -> trainables.run_label -> trainables -> sweeps.engine",
        "embedding_core -> sweeps.results",
    ),
    "sweeps.": (
        f"results -> doctor -> design -> engine -> commands -> cli -> {SCRIPTS}",
        "results -> analysis.numbers -> analysis.wording -> analysis.stats -> analysis.figures.drawing "
        "-> analysis.figures -> analysis.published -> analysis.report "
        "-> analysis.optuna_studies, analysis.sweep_result -> commands",
        "analysis.wording -> analysis.document -> analysis.published",
        "analysis.stats.intervals -> analysis.stats.reading -> analysis.stats.description -> analysis.stats.answers",
        "engine.private_api, engine.interruption -> engine.machines -> engine.search -> engine.records "
        "-> engine.watching -> engine",
    ),
}
"""What may import what: a room (a package, or a module that is a step of its own) whatever lies before it in a chain,
and what lies before that in any other. Rooms between commas do not import each other."""


@cache
def steps(prefix: str, order: str) -> list[list[str]]:
    """Rooms of a chain by step, lowest first."""
    return [[prefix + room.strip() for room in step.split(",")] for step in order.split("->")]


def chains() -> list[tuple[str, list[list[str]]]]:
    return [(order, steps(prefix, order)) for prefix, orders in ORDERS.items() for order in orders]


ROOMS = {room for _, chain in chains() for step in chain for room in step}


@cache
def beneath(room: str) -> frozenset[str]:
    """Every room that this one may import."""
    found: set[str] = set()
    for _, chain in chains():
        at = next((i for i, step in enumerate(chain) if room in step), 0)
        for lower in (name for step in chain[:at] for name in step):
            found |= {lower, *beneath(lower)}
    return frozenset(found)


def rooms_of(module: str) -> list[str]:
    """Rooms that hold the module, the innermost first: `trainables.run_label` lies in a room within another."""
    return [name for name in reversed([*parents(module), module]) if name in ROOMS]


def against_the_order(module: str, source: str) -> Iterator[str]:
    """Every import of `source` that `ORDERS` does not allow, with the order that it breaks."""
    own = rooms_of(module)
    for found in imports_of(module, source):
        theirs = rooms_of(found.imported)
        if not own or (theirs and own[0] == theirs[0]):
            continue
        # A package of rooms is none itself: whoever has it has all of them.
        each = [theirs] if theirs else [[room] for room in sorted(ROOMS) if is_below(room, found.imported)]
        for wanted in each:
            if not any(there in beneath(here) for here in own for there in wanted):
                yield f"{found}, against {broken(own, wanted)}"
                break


def broken(own: list[str], theirs: list[str]) -> str:
    """The order that has the two rooms, else the fact that none does."""
    for order, chain in chains():
        on_it = {room for step in chain for room in step}
        if on_it & set(own) and on_it & set(theirs):
            return order
    return f"every order: none has {theirs[0]} below {own[0]}"


def test_every_module_has_a_place_in_the_order() -> None:
    homeless = [name for name in MODULES if not rooms_of(name) and not is_package(name)]
    assert not homeless, f"ORDERS must say what may import these, and what they may import: {', '.join(homeless)}"


def test_imports_keep_the_order() -> None:
    faults = [fault for module, file in MODULES.items() for fault in against_the_order(module, file.read_text())]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        (
            "sweeps.design.plan",
            "import json\nfrom sweeps.engine.machines import resources",
            "sweeps/design/plan.py:2: sweeps.design.plan imports sweeps.engine.machines.resources, against results -> ",
        ),
        (
            "embedding_core.data.readers.decode",
            "def late():\n    from embedding_core.data.splits import Split",
            "embedding_core/data/readers/decode.py:2: embedding_core.data.readers.decode imports "
            "embedding_core.data.splits, against errors, wording, seeding -> ",
        ),
        (
            "sweeps.analysis.stats.intervals.effects",
            "from sweeps.analysis import render_sweep",
            "sweeps/analysis/stats/intervals/effects.py:1: sweeps.analysis.stats.intervals.effects imports "
            "sweeps.analysis.report.compose, against results -> analysis.numbers -> ",
        ),
        (
            "sweeps.engine.runner",
            "from sweeps.analysis.stats.intervals import effects",
            "sweeps/engine/runner.py:1: sweeps.engine.runner imports sweeps.analysis.stats.intervals.effects, "
            "against every order: none has sweeps.analysis.stats.intervals below sweeps.engine",
        ),
        ("trainables.run_label", "import trainables.endings", "against embedding_core -> trainables.run_label -> "),
        (
            "sweeps.engine.runner",
            "from sweeps import analysis",
            "sweeps.engine.runner imports sweeps.analysis, against",
        ),
        ("trainables.endings", "import sweeps", "trainables.endings imports sweeps, against"),
        (
            "sweeps.cli.main",
            "import sweeps.simclr",
            "sweeps.cli.main imports sweeps.simclr, against results -> doctor -> design",
        ),
    ],
)
def test_an_import_against_the_order_is_named_with_file_line_and_order(module: str, source: str, said: str) -> None:
    (fault,) = against_the_order(module, source)
    assert said in fault


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "sweeps.engine.runner",
            "from trainables.embedding import EmbeddingTrainable\nfrom embedding_core import train",
        ),
        ("sweeps.engine.designed_stages", "from trainables.run_label import RunLabel\nfrom sweeps.design import runs"),
        ("sweeps.cli.main", "from sweeps.analysis.report.compose import compose\nfrom sweeps.engine import runner"),
        (
            "sweeps.commands.replay",
            "from sweeps.engine.records.provenance import Provenance\nfrom sweeps.results import store",
        ),
        ("sweeps.simclr", "from sweeps.cli.main import main\nfrom sweeps.design import Design"),
        ("embedding_core.data.splits", "from embedding_core.data.readers import decode\nimport torch"),
    ],
)
def test_an_import_down_the_order_is_allowed(module: str, source: str) -> None:
    assert not list(against_the_order(module, source))


# Ray, torch and other heavy packages stay where they belong.


def assert_never_reaches(package: str, *forbidden: str, but: str = "") -> None:
    """No module of the package does, but for one."""
    for module in below(package):
        for found in reached(module) if module != but else ():
            assert not any(is_below(found.imported, name) for name in forbidden), f"{module} reaches this: {found}"


def test_the_walk_sees_the_project() -> None:
    def names(found: Iterable[Import]) -> set[str]:
        return {each.imported for each in found}

    assert "embedding_core.losses.functional" in names(imports("embedding_core.losses.objective"))
    assert "embedding_core.errors" in names(reached("embedding_core.config.train_config"))
    assert "torchvision.models" in names(imports("embedding_core.models.backbones"))  # inside a function


def test_the_walk_runs_the_init_of_every_package_on_the_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, source in {"p": "", "p.q": "import torch", "p.q.r": "", "p.s": "from p.q import r"}.items():
        monkeypatch.setitem(MODULES, name, tmp_path / f"{name}.py")
        (tmp_path / f"{name}.py").write_text(source)
    assert "torch" in {found.imported for found in reached("p.s")}


def test_the_core_knows_neither_ray_nor_the_layers_above() -> None:
    assert_never_reaches(
        "embedding_core", "trainables", "sweeps", "ray", "optuna", "pandas", "matplotlib", "rich", "jinja2"
    )


def test_the_configuration_needs_the_standard_library_alone() -> None:
    for module in below("embedding_core.config"):
        for found in reached(module):
            assert found.imported in MODULES or found.imported.split(".")[0] in sys.stdlib_module_names, found


def test_trainables_know_neither_engine_nor_analysis() -> None:
    assert_never_reaches("trainables", "sweeps", "optuna", "pandas", "matplotlib")
    assert_never_reaches("trainables.run_label", "ray", "torch")


def test_results_need_neither_ray_nor_torch() -> None:
    assert_never_reaches("sweeps.results", "ray", "torch", "trainables", "sweeps.engine", "sweeps.analysis")


def test_designs_need_neither_ray_nor_optuna() -> None:
    assert_never_reaches("sweeps.design", "ray", "optuna", "matplotlib", "trainables", "sweeps.engine")


def test_analysis_needs_neither_ray_nor_torch() -> None:
    assert_never_reaches("sweeps.analysis", "ray", "torch", "trainables", "sweeps.engine")


def test_effects_need_no_figures() -> None:
    assert_never_reaches(
        "sweeps.analysis.stats.intervals.effects", "sweeps.analysis.figures", "sweeps.commands", "matplotlib"
    )


def test_commands_need_neither_ray_nor_torch_but_where_a_trial_is_trained() -> None:
    assert_never_reaches("sweeps.commands", "ray")
    assert_never_reaches("sweeps.commands", "torch", "trainables", "sweeps.engine", but="sweeps.commands.replay")


@pytest.mark.slow
def test_a_fresh_process_reads_results_without_ray_and_torch(tmp_path: Path) -> None:
    Store.create(tmp_path / "sweep")
    code = (
        "import sys\n"
        "from sweeps.results import store\n"
        "assert store.read(sys.argv[1], 'trials').num_rows == 0\n"
        "import sweeps.analysis\n"
        "assert not {'ray', 'torch', 'matplotlib', 'optuna', 'scipy'} & set(sys.modules), 'nothing was asked for'\n"
        "from sweeps.analysis import paired_effect, render_sweep, render_study\n"
        "assert not {'ray', 'torch'} & set(sys.modules), 'with the face'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "sweep")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_no_file_beside_the_sweep_scripts_hides_another_module() -> None:
    """Running a script puts its folder first on the path: `queue.py` there breaks `import ray`."""
    external = {found.imported.split(".")[0] for module in MODULES for found in imports(module)} - set(PACKAGES)
    names = {path.stem for path in (ROOT / "sweeps").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not names & (set(sys.stdlib_module_names) | external)
