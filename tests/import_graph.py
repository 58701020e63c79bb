"""Who imports whom among the project's modules, read off the source: through faces, and with parents' `__init__`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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


def is_package(module: str) -> bool:
    return module in MODULES and MODULES[module].stem == "__init__"


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def below(package: str) -> list[str]:
    return [name for name in MODULES if is_below(name, package)]


def parents(name: str) -> list[str]:
    """`a.b.c` -> a, a.b: packages whose `__init__` runs before the module itself."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


@dataclass(frozen=True)
class Import:
    """One name that a module imports, anywhere in it, inside functions too."""

    importer: str
    imported: str
    """The module that the name comes from; for a name of a face, the module behind it."""

    line: int
    typing: bool
    """Under `if TYPE_CHECKING:`, so that it does not run."""

    def __str__(self) -> str:
        return f"{MODULES[self.importer].relative_to(ROOT)}:{self.line}: {self.importer} imports {self.imported}"


@cache
def imports(module: str) -> tuple[Import, ...]:
    return tuple(imports_of(module, MODULES[module].read_text()))


def imports_of(module: str, source: str) -> Iterator[Import]:
    """Imports of `source` as if it were that of `module`."""
    tree = ast.parse(source)
    typing = {inner for node in ast.walk(tree) if is_typing(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, node in typing)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            assert node.module is not None
            for name in dict.fromkeys(home(node.module, alias.name) for alias in node.names):
                yield Import(module, name, node.lineno, node in typing)


def is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def home(module: str, name: str) -> str:
    """The module that `from module import name` takes it from: a module of that name, or what stands behind a face."""
    if f"{module}.{name}" in MODULES:
        return f"{module}.{name}"
    behind = face(module).get(name) if is_package(module) else None
    return module if behind is None else home(*behind)


@cache
def face(package: str) -> dict[str, tuple[str, str]]:
    """Names that an `__init__` takes from modules of its package, lazily or not: name -> (module, name there)."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(ast.parse(MODULES[package].read_text()))
        if isinstance(node, ast.ImportFrom) and node.module is not None and is_below(node.module, package)
        for alias in node.names
    }


def reached(module: str) -> Iterator[Import]:
    """All imports that importing `module` runs, through the project's own modules and their packages' `__init__`."""
    seen, waiting = set(), [module]
    while waiting:
        importer = waiting.pop()
        if importer in seen:
            continue
        seen.add(importer)
        waiting += [name for name in parents(importer) if name in MODULES]
        for found in imports(importer):
            if not found.typing:
                yield found
                waiting += [found.imported] if found.imported in MODULES else []
