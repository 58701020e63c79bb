"""The names that other people's code relies on, with their signatures: to change one is a decision seen in a diff.

python -m tests.test_public_names     writes the present state into public_names.txt; of a package, all of `__all__`

To add a module, write its name and a colon on a line of that file, its names below (of a package none), and run that.
"""

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PUBLIC = Path(__file__).with_name("public_names.txt")

WIDTH = 116
"""Longer signatures have a line per parameter."""

MEANT = """Public names are not what they were:

{changes}

If that is meant, `python -m tests.test_public_names` writes it down, and CHANGELOG.md must say it."""


class Written(str):
    """An annotation as it stands in the source, whatever it stands for."""

    __slots__ = ()
    __repr__ = str.__str__


def listed(text: str) -> dict[str, list[str]]:
    """Names by module in a text such as `PUBLIC` holds."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([\w.]+):", line):
            names[match[1]] = own = []
        elif match := re.match(r" {4}([\w.]+)", line):
            own.append(match[1])
    return names


def present(names: dict[str, list[str]], width: int = WIDTH) -> str:
    """The text of these names as they are now; of a package, of everything in its `__all__`."""
    lines = []
    for module_name, own in names.items():
        module = import_module(module_name)
        every = sorted({*own, *getattr(module, "__all__", [])})
        lines += [f"{module_name}:", *(textwrap.indent(described(module, name, width), "    ") for name in every)]
    return "\n".join(lines) + "\n"


def described(module: ModuleType, name: str, width: int) -> str:
    """`name(parameters) -> result`; of a property its type, of a constant its value."""
    there: Any = module
    try:
        for part in name.split("."):
            there = getattr(there, part)
    except AttributeError:
        return f"{name}: is gone"
    if name.partition(".")[0] not in getattr(module, "__all__", [name.partition(".")[0]]):
        return f"{name}: is not in __all__"
    if isinstance(there, property):
        return f"{name}: {annotations(there.fget)['return']}"
    there = inspect.unwrap(there)
    if inspect.isclass(there) and issubclass(there, Exception):
        return f"{name}, of {', '.join(base.__name__ for base in there.__bases__)}"
    if inspect.isclass(there) or inspect.isroutine(there):
        return signature_of(there, name, width)
    return f"{name}: module" if inspect.ismodule(there) else f"{name} = {there!r}"


def signature_of(there: Any, name: str, width: int) -> str:
    """Of a function, or of a class's constructor; over several lines where it is longer than `width`."""
    written = annotations(there)
    signature = inspect.signature(there)
    parameters = [p.replace(annotation=Written(written.get(p.name, "?"))) for p in signature.parameters.values()]
    whole = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    result = "" if inspect.isclass(there) else f" -> {written['return']}"
    line = f"{name}{whole}{result}"
    return line if len(line) <= width else "\n".join([f"{name}(", *by_line(parameters), f"){result}"])


def by_line(parameters: list[inspect.Parameter]) -> list[str]:
    """One to a line, and the star before those that are given by name alone."""
    lines = [f"    {parameter}," for parameter in parameters]
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        lines.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "    *,")
    return lines


def annotations(there: Any) -> dict[str, str]:
    """Annotations by parameter, and of the result as `return`, as they stand in the source."""
    if inspect.isclass(there) and (is_dataclass(there) or not inspect.isfunction(there.__init__)):
        bodies = [tree_of(each).body for each in reversed(there.__mro__) if each.__module__ != "builtins"]
        fields = [node for body in bodies for node in body if isinstance(node, ast.AnnAssign)]
        return {ast.unparse(node.target): ast.unparse(node.annotation) for node in fields}
    node = tree_of(there.__init__ if inspect.isclass(there) else there)
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    found = {arg.arg: ast.unparse(arg.annotation) for arg in every if arg is not None and arg.annotation is not None}
    return found | {"return": ast.unparse(node.returns) if node.returns else "?"}


def tree_of(there: Any) -> Any:
    """Its definition, as parsed."""
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(there)))).body[0]


def test_public_names_are_what_they_were() -> None:
    written = PUBLIC.read_text()
    before, after = written.splitlines(), present(listed(written)).splitlines()
    changes = "\n".join(difflib.unified_diff(before, after, "tests/public_names.txt", "the code", lineterm=""))
    assert not changes, MEANT.format(changes=changes)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("made_up")
    (folder / "made_up_names.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from functools import cache\n"
        "Numbers = list[int]\n"
        "SCALE = 2.0\n"
        "@dataclass(kw_only=True)\n"
        "class Point:\n"
        "    x: float\n"
        "    more: Numbers = field(default_factory=list)\n"
        "    @property\n"
        "    def norm(self) -> float: ...\n"
        "class Plain:\n"
        "    def __init__(self, points: list[Point]) -> None: ...\n"
        "def scaled(point: Point, /, by: float = SCALE, *rest: int, twice: bool = False) -> 'Point': ...\n"
        "@cache\n"
        "def unit() -> Point: ...\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("made_up_names")


def test_a_name_is_described_by_what_a_caller_writes(made_up: ModuleType) -> None:
    names = ["Numbers", "Plain", "Point", "Point.norm", "SCALE", "absent", "scaled", "unit"]
    text = present({"made_up_names": names})
    assert text.splitlines() == [
        "made_up_names:",
        "    Numbers = list[int]",
        "    Plain(points: list[Point])",
        "    Point(*, x: float, more: Numbers = <factory>)",
        "    Point.norm: float",
        "    SCALE = 2.0",
        "    absent: is gone",
        "    scaled(point: Point, /, by: float = 2.0, *rest: int, twice: bool = False) -> 'Point'",
        "    unit() -> Point",
    ]
    assert listed(text) == {"made_up_names": names}


def test_long_signatures_have_a_line_per_parameter(made_up: ModuleType) -> None:
    text = present({"made_up_names": ["Point"]}, width=20)
    assert text.splitlines()[1:] == [
        "    Point(",
        "        *,",
        "        x: float,",
        "        more: Numbers = <factory>,",
        "    )",
    ]
    assert listed(text) == {"made_up_names": ["Point"]}


def test_a_face_lists_all_of_its_names(made_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "__all__", ["Point"], raising=False)
    assert listed(present({"made_up_names": []})) == {"made_up_names": ["Point"]}
    assert "    scaled: is not in __all__" in present({"made_up_names": ["scaled"]})


if __name__ == "__main__":
    PUBLIC.write_text(present(listed(PUBLIC.read_text())))
