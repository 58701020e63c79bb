"""Plug-ins as they travel: source text, which driver and workers run alike."""

import hashlib
import importlib.util
import linecache
import sys
import types
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embedding_core.errors import Faults, unknown
from embedding_core.plugins.builtin import REGISTRIES
from embedding_core.plugins.declarations import Declared
from embedding_core.plugins.decorators import MARK, Mark

_Found = dict[tuple[str, str], tuple[Declared, Callable[..., Any]]]
"""By kind and name."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one plug-in."""

    name: str
    """As it was asked for: a file or a module."""
    text: str
    package: str = ""
    """That its relative imports are from; of a module within one."""

    @property
    def last_name(self) -> str:
        """Of the file; a module's name and `.py`."""
        return Path(self.name).name if self.name.endswith(".py") else f"{self.name}.py"

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


_in_use: tuple[Source, ...] = ()


def in_use() -> tuple[Source, ...]:
    """The plug-ins of this process."""
    return _in_use


def use_named(names: Sequence[str]) -> tuple[Source, ...]:
    """`use` of plug-ins by file or module; relative files are from the current folder.

    Raises:
        Faults: a file or module that is not there; see `use`. The plug-ins are those from before.
    """
    sources: list[Source] = []
    faults: list[str] = []
    for name in dict.fromkeys(names):
        try:
            sources.append(_read(name))
        except Faults as error:
            faults += error.faults
    use(sources, faults)
    return _in_use


def use(sources: Sequence[Source], faults: Sequence[str] = ()) -> None:
    """Have the losses, backbones and data sets of these plug-ins in this process, and of no others.

    Args:
        sources: plug-ins that are run; those that are in use already are not run again.
        faults: told with those that are found.

    Raises:
        Faults: a plug-in that cannot be imported, that declares nothing, or a name that is taken; all at once. The
            plug-ins are those from before.
    """
    global _in_use
    if tuple(sources) == _in_use and not faults:
        return
    found: _Found = {}
    wrong = list(faults)
    names = Counter(source.last_name for source in sources)
    wrong += [
        f"{many} plug-ins are called {name}: give each a name of its own." for name, many in names.items() if many > 1
    ]
    for source in sources:
        try:
            _add(found, source)
        except Faults as error:
            wrong += error.faults
    if wrong:
        raise Faults(wrong)
    for registry in REGISTRIES:
        registry.replace_plugins({name: part for (kind, name), part in found.items() if kind == registry.kind})  # type: ignore[misc]
    _in_use = tuple(sources)


def _read(name: str) -> Source:
    """The text of a file or module."""
    is_file = name.endswith(".py") or "/" in name
    if is_file:
        file, package = Path(name).expanduser().resolve(), ""
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError) as error:
            raise Faults([f"Plug-in `{name}` is no file that ends in .py, and no module: {error}."]) from error
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            raise Faults([f"Plug-in `{name}` is no file that ends in .py, and no module that can be found."])
        file, package = Path(spec.origin), spec.parent or ""
    try:
        return Source(str(file) if is_file else name, file.read_text(), package)
    except (OSError, UnicodeError) as error:
        beside = sorted(each.name for each in file.parent.glob("*.py"))
        near = f" {unknown('file', file.name, beside)}" if beside and not file.exists() else ""
        raise Faults([f"Plug-in `{name}` cannot be read ({error}).{near}"]) from error


def _add(found: _Found, source: Source) -> None:
    """Run a plug-in and add what it declares."""
    faults = []
    marks = [(value, mark) for value in _run(source).values() if isinstance(mark := _mark_of(value), Mark)]
    if not marks:
        face = "`loss`, `backbone` or `dataset` of embedding_core.plugins"
        faults.append(f"Plug-in {source.name} declares nothing: decorate a factory with {face}.")
    builtin = {(registry.kind, name) for registry in REGISTRIES for name in registry.builtin}
    for factory, mark in marks:
        declared = mark.declared
        key = declared.kind, declared.name
        faults += [f"{source.name}: {fault}" for fault in mark.faults]
        if key in builtin:
            faults.append(f"{source.name}: {declared.kind} `{declared.name}` is built in; give yours another name.")
        elif key in found:
            faults.append(f"{source.name}: {declared.kind} `{declared.name}` is declared twice.")
        found[key] = replace(declared, sha256=source.sha256), factory
    if faults:
        raise Faults(faults)


def _mark_of(value: object) -> object:
    try:
        return vars(value).get(MARK)
    except TypeError:  # it has no attributes of its own
        return None


def _run(source: Source) -> dict[str, Any]:
    """The names of a plug-in after it has run, as a module of its own that pickles by name."""
    module = types.ModuleType(f"koleo_plugin_{source.sha256[:16]}")
    module.__file__, module.__package__ = source.name, source.package
    # Tracebacks and `inspect.getsource` find the text on machines that have no such file, too.
    linecache.cache[source.name] = (len(source.text), None, source.text.splitlines(keepends=True), source.name)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source.text, source.name, "exec"), vars(module))
    except Exception as error:  # whatever a stranger's module raises
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise Faults([f"Plug-in {source.name} cannot be imported: {type(error).__name__}{line}: {error}"]) from error
    return dict(vars(module))
