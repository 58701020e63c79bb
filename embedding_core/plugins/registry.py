"""Names and what stands behind them: one table per kind of part, for built-in ones and plug-ins alike."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from embedding_core.errors import Faults
from embedding_core.plugins.declarations import Declared, Field

_D = TypeVar("_D", bound=Declared)
_Factory = TypeVar("_Factory", bound=Callable[..., Any])


@contextmanager
def strangers_errors(declared: Declared, what: str) -> Iterator[None]:
    """As a context, tells whatever the code of a plug-in raises as a fault of that plug-in; ours stays what it is."""
    try:
        yield
    except Faults:
        raise
    except Exception as error:
        if declared.sha256 is None:
            raise
        raise Faults([f"The {declared.kind} `{declared.name}` {what}: {type(error).__name__}: {error}"]) from error


class Registry(Mapping[str, _D], Generic[_D]):
    """Declarations by name, and the factory of each.

    Those of built-in parts are there from the start, and their factories once the module that has them is imported;
    plug-ins come and go as a whole.
    """

    def __init__(self, of: type[_D], builtin: Iterable[_D]) -> None:
        self.of = of
        """The kind of its declarations."""
        self.builtin: Mapping[str, _D] = {each.name: each for each in builtin}
        self._added: dict[str, _D] = {}
        self._factories: dict[str, Callable[..., Any]] = {}

    def __getitem__(self, name: str) -> _D:
        return self._added[name] if name in self._added else self.builtin[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.builtin, *self._added))

    def __len__(self) -> int:
        return len(self.builtin) + len(self._added)

    @property
    def kind(self) -> str:
        """`loss`, `backbone` or `dataset`."""
        return self.of.kind

    def attach(self, name: str) -> Callable[[_Factory], _Factory]:
        """Decorator of the factory of a built-in part."""
        assert name in self.builtin, f"{self.kind} {name} is not declared"

        def attached(factory: _Factory) -> _Factory:
            self._factories[name] = factory
            return factory

        return attached

    def factory(self, name: str) -> Callable[..., Any]:
        """What makes the part. Its module must have been imported."""
        return self._factories[name]

    def make(self, name: str, settings: Mapping[str, Any], **given: Any) -> Any:
        """The part.

        Args:
            name: one of the registry.
            settings: a flat configuration; of it the fields that the part declares are taken.
            given: what depends on the run, likewise.

        Raises:
            Faults: a plug-in's factory raises.
        """
        declared = self[name]
        own = {flat.partition(".")[2]: settings.get(flat, each.default) for flat, each in declared.own.items()}
        keywords = {each: settings[each] for each in declared.fields} | {each: given[each] for each in declared.given}
        with strangers_errors(declared, "cannot be made"):
            return self._factories[name](**keywords, **own)

    def own_fields(self) -> dict[str, Field]:
        """Every flat field of a plug-in, such as `loss.alpha`; two parts may have one of the same name."""
        return {name: each for declared in self._added.values() for name, each in declared.own.items()}

    def replace_plugins(self, plugins: Mapping[str, tuple[_D, Callable[..., Any]]]) -> None:
        """Have these, and none of those before."""
        for name in self._added:
            del self._factories[name]
        self._added = {name: declared for name, (declared, _) in plugins.items()}
        self._factories |= {name: factory for name, (_, factory) in plugins.items()}
