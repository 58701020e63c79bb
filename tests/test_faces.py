"""An `__init__` names its own package's public face, and does nothing else."""

import ast
from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.import_graph import MODULES, PACKAGES, ROOT, face, home, is_below, is_package, is_typing

FACES = [name for name in MODULES if is_package(name)]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_has_an_init(package: str) -> None:
    for folder in {file.parent for file in (ROOT / package).rglob("*.py")}:
        assert (folder / "__init__.py").is_file(), folder


def no_face(package: str, source: str) -> Iterator[str]:
    """What an `__init__` holds beyond the public names of its own package."""
    for node in ast.parse(source).body:
        for inner in [*node.body, *node.orelse] if isinstance(node, ast.If) and is_typing(node) else [node]:
            if not belongs(package, inner):
                yield f"{MODULES[package].relative_to(ROOT)}:{inner.lineno}: `{ast.unparse(inner).splitlines()[0]}`"


def belongs(package: str, node: ast.stmt) -> bool:
    """A docstring, an import of the package's own, `__all__`, or what a lazy face (PEP 562) is made of."""
    match node:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.ImportFrom(module=str(module), level=0):
            return is_below(module, package) or module in ("importlib", "typing")
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return name.startswith("_") and is_literal(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return name.startswith("_") and is_literal(value)
        case ast.FunctionDef(name=name):
            return name in ("__getattr__", "__dir__")
    return False


def is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("package", FACES)
def test_an_init_names_its_own_package_alone(package: str) -> None:
    assert not list(no_face(package, MODULES[package].read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from sweeps.results import store",
        "if TYPE_CHECKING:\n    from sweeps.results.store import Store",
        "if TYPE_CHECKING:\n    from sweeps.analysis.stats import effects\nelse:\n    import torch",
        "def helper(): ...",
        "_TABLE = compute()",
        "public = 3",
        "print('imported')",
    ],
)
def test_what_does_not_belong_into_an_init_is_named(source: str) -> None:
    (fault,) = no_face("sweeps.analysis", source)
    assert fault.startswith("sweeps/analysis/__init__.py:")


@pytest.mark.parametrize("package", FACES)
def test_all_is_what_a_face_offers(package: str) -> None:
    offered = face(package)
    module = import_module(package)
    assert sorted(getattr(module, "__all__", [])) == sorted(offered)
    for name, behind in offered.items():
        assert getattr(module, name) is getattr(import_module(home(*behind)), behind[1]), name
    assert not hasattr(module, "no_such_name")
