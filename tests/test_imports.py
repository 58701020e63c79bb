"""Imports point one way: sweep scripts -> engine -> trainables -> core; Ray and torch stay where they belong."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("embedding_core", "trainables", "sweeps")


def modules() -> dict[str, Path]:
    """Every module of the project by dotted name."""
    found = {}
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = modules()


@cache
def imports(module: str) -> frozenset[str]:
    """Dotted names that `module` imports anywhere in it, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= submodules or {node.module}
    return frozenset(found)


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def below(package: str) -> list[str]:
    return [name for name in MODULES if is_below(name, package)]


def reached(module: str) -> Iterator[tuple[str, str]]:
    """(importer, imported) for everything that importing `module` pulls in, through the project's own modules."""
    seen, waiting = set(), [module]
    while waiting:
        importer = waiting.pop()
        if importer in seen:
            continue
        seen.add(importer)
        for imported in sorted(imports(importer)):
            yield importer, imported
            if imported in MODULES:
                waiting.append(imported)


def assert_never_reaches(package: str, *forbidden: str) -> None:
    for module in below(package):
        for importer, imported in reached(module):
            hit = [name for name in forbidden if is_below(imported, name)]
            assert not hit, f"{module} reaches {imported} through {importer}"


def test_the_walk_sees_the_project() -> None:
    assert "embedding_core.losses.functional" in imports("embedding_core.losses.objective")
    assert ("embedding_core.config.train_config", "embedding_core.errors") in set(
        reached("embedding_core.config.train_config")
    )
    assert "torchvision.models" in imports("embedding_core.models.backbones")  # inside a function


def test_the_core_knows_neither_ray_nor_the_layers_above() -> None:
    assert_never_reaches(
        "embedding_core", "trainables", "sweeps", "ray", "optuna", "pandas", "matplotlib", "rich", "jinja2"
    )


def test_the_configuration_needs_the_standard_library_alone() -> None:
    for _, imported in reached("embedding_core.config.train_config"):
        assert imported in MODULES or imported.split(".")[0] in sys.stdlib_module_names


def test_trainables_know_neither_engine_nor_analysis() -> None:
    assert_never_reaches("trainables", "sweeps.engine", "sweeps.analysis", "optuna", "pandas", "matplotlib")


def test_results_need_neither_ray_nor_torch() -> None:
    assert_never_reaches("sweeps.results", "ray", "torch", "trainables", "sweeps.engine", "sweeps.analysis")


def test_analysis_needs_neither_ray_nor_torch() -> None:
    assert_never_reaches("sweeps.analysis", "ray", "torch", "trainables", "sweeps.engine")


def test_report_figures_estimates_results() -> None:
    assert_never_reaches(
        "sweeps.analysis.stats.effects", "sweeps.analysis.figures", "sweeps.commands.report", "matplotlib"
    )
    assert_never_reaches("sweeps.analysis.figures", "sweeps.commands.report")


def test_nothing_below_imports_a_sweep_script() -> None:
    scripts = [f"sweeps.{file.stem}" for file in (ROOT / "sweeps").glob("*.py") if file.stem != "__init__"]
    for package in ("embedding_core", "trainables", "sweeps.engine", "sweeps.results", "sweeps.analysis"):
        assert_never_reaches(package, *scripts)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_init_is_there_and_empty(package: str) -> None:
    for folder in {file.parent for file in (ROOT / package).rglob("*.py")}:
        assert (folder / "__init__.py").read_text() == "", folder


def test_no_file_beside_the_sweep_scripts_hides_another_module() -> None:
    """Running a script puts its folder first on the path: `queue.py` there breaks `import ray`."""
    external = {imported.split(".")[0] for module in MODULES for imported in imports(module)} - set(PACKAGES)
    names = {path.stem for path in (ROOT / "sweeps").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not names & (set(sys.stdlib_module_names) | external)
