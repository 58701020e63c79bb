"""Every property of everything that a plug-in declares."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from embedding_core.conformance.backbones import backbone_properties
from embedding_core.conformance.datasets import dataset_properties
from embedding_core.conformance.losses import loss_properties
from embedding_core.conformance.properties import NotConforming, Property, tried
from embedding_core.plugins.builtin import REGISTRIES
from embedding_core.plugins.sources import use_named

PROPERTIES: Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Property]]] = {
    "loss": loss_properties,
    "backbone": backbone_properties,
    "dataset": dataset_properties,
}


def check_plugin(*plugins: str | Path) -> None:
    """Try every property of everything that these files or modules declare, at its defaults.

    From here on this process has them, and no other plug-ins.

    Raises:
        NotConforming: the first part that lacks any, with all that it lacks.
        Faults: they cannot be used.
    """
    for what, found in verdicts(*plugins):
        broken = {name: how for name, how in found.items() if how}
        if broken:
            raise NotConforming(what, broken)


def verdicts(*plugins: str | Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Part after part, and how each of its properties is broken; empty: it holds."""
    use_named([str(plugin) for plugin in plugins])
    declared = [(registry.kind, name) for registry in REGISTRIES for name in registry if name not in registry.builtin]
    for kind, name in declared:
        yield f"{kind} {name}", tried(PROPERTIES[kind](name, {}))
