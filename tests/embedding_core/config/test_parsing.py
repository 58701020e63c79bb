"""Fields from command-line text: the field's own type, or a sentence that says what it must be."""

import pytest

from embedding_core.config.parsing import parse_settings, parse_value
from embedding_core.errors import Faults


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lr", "1e-3", 1e-3), ("lr", "1", 1.0), ("epochs", "7", 7), ("subset", "none", None), ("subset", "12", 12),
        ("koleo", "true", True), ("koleo", "False", False), ("koleo_weight", "None", None), ("flip", "none", None),
        ("flip", "true", True), ("weights", "none", "none"), ("dataset", "cifar10", "cifar10"),
        ("data_root", "none", None),
    ],
)  # fmt: skip
def test_values_from_the_command_line(name: str, text: str, value: object) -> None:
    parsed = parse_value(name, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("lr", "fast", "`lr` must be float, but got `fast`"),
        ("epochs", "1.5", "`epochs` must be int, but got `1.5`"),
        ("koleo", "yes", "`koleo` must be true or false, but got `yes`"),
        ("epochs", "none", "`epochs` must be int, but got `none`"),
        ("epoch", "3", "Did you mean `epochs`"),
    ],
)
def test_text_that_is_no_value(name: str, text: str, message: str) -> None:
    with pytest.raises(Faults, match=message):
        parse_value(name, text)


def test_every_setting_that_is_wrong_is_told_at_once() -> None:
    assert parse_settings(["lr=1", "weights=a=b"]) == {"lr": 1.0, "weights": "a=b"}
    with pytest.raises(Faults) as caught:
        parse_settings(["lr", "epochs=many", "seed=3"])
    first, second = caught.value.faults
    assert first == "A setting must be key=value, but got `lr`."
    assert second == "`epochs` must be int, but got `many`."
