"""Fields of a configuration that plug-ins declare: defaults filled in, others told, and which plug-ins they are of."""

from collections.abc import Iterable, Mapping
from typing import Any

from embedding_core.errors import unknown
from embedding_core.plugins.builtin import REGISTRIES
from embedding_core.plugins.declarations import Field, Value


def plugin_fields() -> dict[str, Field]:
    """Every flat field of the plug-ins in use, such as `loss.alpha`."""
    return {name: each for registry in REGISTRIES for name, each in registry.own_fields().items()}


def completed(
    parts: Mapping[str, str], given: Mapping[str, Any], sha256: str | None, *, known: Iterable[str]
) -> tuple[dict[str, Value], str | None, list[str]]:
    """Every field of the plug-ins that a configuration uses; fields of others are left out, as they change nothing.

    Args:
        parts: names of its loss, backbone and data set, by kind.
        given: fields that are no other fields of the configuration.
        sha256: as `TrainConfig.plugin_sha256` has it, of the plug-ins that were asked for.
        known: all other fields, for the sentence about an unknown one.

    Returns:
        Values by flat name; the hashes of the plug-ins; every fault.
    """
    chosen = [registry[parts[registry.kind]] for registry in REGISTRIES if parts[registry.kind] in registry]
    every = plugin_fields()
    faults = [unknown("key", name, {*known, *every}) for name in given if name not in every]
    own: dict[str, Value] = {}
    for name, field in ((name, field) for declared in chosen for name, field in declared.own.items()):
        try:
            own[name] = field.read(given.get(name, field.default))
        except ValueError as error:
            faults.append(f"`{name}` {error}, but got {given[name]!r}.")
    hashes = {f"{each.kind}.{each.name}": each.sha256 for each in chosen if each.sha256 is not None}
    asked = dict(part.rpartition(":")[::2] for part in (sha256 or "").split())
    faults += [
        f"The plug-in of {part} has changed: its source was {asked[part][:8]}… (SHA-256) then and is {there[:8]}… now."
        for part, there in hashes.items()
        if part in asked and asked[part] != there
    ]
    return own, " ".join(f"{part}:{there}" for part, there in hashes.items()) or None, faults
