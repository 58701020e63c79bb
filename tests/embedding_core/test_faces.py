"""The packages' faces: what they name is there, and naming it loads no more than it must."""

import pkgutil
import subprocess
import sys

import pytest

import embedding_core
from embedding_core import evaluation

PACKAGES = sorted(
    module.name for module in pkgutil.walk_packages(embedding_core.__path__, "embedding_core.") if module.ispkg
)
HEAVY = ("sklearn", "umap", "scipy", "torchvision", "pandas", "ray")


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh process after `statement`."""
    program = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_configuration_loads_the_standard_library_alone() -> None:
    before = loaded_by("pass")
    others = loaded_by("import embedding_core.config, embedding_core.errors") - before - {"embedding_core"}
    assert others <= set(sys.stdlib_module_names)


def test_storage_loads_neither_torch_nor_ray() -> None:
    assert not loaded_by("import embedding_core.storage") & {"torch", "ray"}


@pytest.mark.slow
def test_the_loop_and_every_face_leave_slow_libraries_to_those_who_ask() -> None:
    faces = "\n".join(f"import {package}" for package in PACKAGES)
    assert not loaded_by(f"import embedding_core.train\n{faces}") & set(HEAVY)


@pytest.mark.slow
def test_probes_come_when_they_are_asked_for() -> None:
    assert "sklearn" in loaded_by("from embedding_core.evaluation import probe_curve")
    with pytest.raises(AttributeError, match="no attribute 'prob'"):
        evaluation.prob  # noqa: B018
