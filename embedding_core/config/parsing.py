"""`TrainConfig` fields from text, as command lines have them: `key=value`."""

import types
from collections.abc import Sequence
from typing import Any

from embedding_core.config.plugin_fields import plugin_fields
from embedding_core.config.train_config import TrainConfig, field_types
from embedding_core.errors import Faults, unknown


def parse_value(name: str, text: str) -> Any:
    """Value of the `TrainConfig` field `name` from command-line text (`none` where the field allows it).

    Args:
        name: of a field, one that a plug-in in use declares among them.
        text: the value.

    Raises:
        Faults: unknown field, or text that is not of the field's type.
    """
    known = field_types(TrainConfig) | {name: (field.kind,) for name, field in plugin_fields().items()}
    if name not in known:
        raise Faults([unknown("key", name, known)])
    allowed = known[name]
    if types.NoneType in allowed and text.lower() == "none":
        return None
    kind = next(t for t in allowed if t is not types.NoneType)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise Faults([f"`{name}` must be true or false, but got `{text}`."])
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise Faults([f"`{name}` must be {kind.__name__}, but got `{text}`."]) from None


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`TrainConfig` fields from texts `key=value`.

    Raises:
        Faults: no `=`, unknown fields, texts not of their field's type; all of them.
    """
    values, faults = {}, []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            faults.append(f"A setting must be key=value, but got `{setting}`.")
            continue
        try:
            values[name] = parse_value(name, text)
        except Faults as error:
            faults += error.faults
    if faults:
        raise Faults(faults)
    return values
