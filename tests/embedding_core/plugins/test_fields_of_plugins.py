"""Fields of plug-ins in a configuration: flat, typed, hashed, and refused with the nearest name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedding_core.config.parsing import parse_settings
from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from embedding_core.plugins.sources import use_named
from tests.embedding_core.plugins.conftest import LOSS

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def file(write: Write) -> str:
    use_named([write()])
    return write()


def test_defaults_are_filled_in_and_every_value_survives_flat_and_json() -> None:
    config = TrainConfig.from_flat({"loss": "mine", "loss.alpha": 2})
    assert config.to_flat() | {"loss.alpha": 2.0, "loss.power": 2, "loss.kind": "plain", "loss.twice": False} == (
        config.to_flat()
    )
    assert type(config.to_flat()["loss.alpha"]) is float
    assert TrainConfig.from_flat(config.to_flat()) == config
    assert TrainConfig.from_flat(json.loads(config.to_json())) == config


def test_values_as_parquet_has_them_are_the_values() -> None:
    given = {"loss": "mine", "loss.power": 3.0, "loss.twice": 1.0}
    flat = TrainConfig.from_flat(given).to_flat()
    assert (flat["loss.power"], flat["loss.twice"]) == (3, True)
    assert (type(flat["loss.power"]), type(flat["loss.twice"])) == (int, bool)


def test_text_from_the_command_line_is_of_the_fields_type() -> None:
    settings = parse_settings(["loss.alpha=2", "loss.power=3", "loss.kind=round", "loss.twice=true"])
    assert settings == {"loss.alpha": 2.0, "loss.power": 3, "loss.kind": "round", "loss.twice": True}
    with pytest.raises(Faults, match=r"`loss.power` must be int, but got `many`"):
        parse_settings(["loss.power=many"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"loss.alhpa": 1.0}, "Unknown key `loss.alhpa`. Did you mean `loss.alpha`?"),
        ({"loss.alpha": "much"}, "`loss.alpha` must be float, but got 'much'."),
        ({"loss.alpha": float("nan")}, "`loss.alpha` must be float, but got nan."),
        ({"loss.power": 1.5}, "`loss.power` must be int, but got 1.5."),
        ({"loss.kind": 3}, "`loss.kind` must be str, but got 3."),
    ],
)
def test_what_is_no_field_or_no_value_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Faults) as caught:
        TrainConfig.from_flat({"loss": "mine", "lr": -1.0, **values})
    assert said in caught.value.faults[0] + caught.value.faults[1]
    assert len(caught.value.faults) == 2


def test_the_hash_is_of_the_values_and_of_the_plugin_that_is_used(write: Write) -> None:
    mine, softmax = TrainConfig(loss="mine"), TrainConfig(loss="softmax")
    assert TrainConfig.from_flat({"loss": "mine", "loss.alpha": 0.5}).sha256 == mine.sha256
    assert TrainConfig.from_flat({"loss": "mine", "loss.alpha": 0.6}).sha256 != mine.sha256
    assert TrainConfig.from_flat({"loss": "softmax", "loss.alpha": 0.6}) == softmax  # it has no such field
    assert "plugin" not in softmax.to_json()
    use_named([write(LOSS.format(name="mine", alpha=0.5) + "# edited\n")])
    assert TrainConfig(loss="mine").sha256 != mine.sha256
    assert TrainConfig(loss="softmax").sha256 == softmax.sha256


def test_a_configuration_of_other_code_is_refused(write: Write) -> None:
    flat = TrainConfig(loss="mine").to_flat()
    use_named([write(LOSS.format(name="mine", alpha=0.5) + "# edited\n")])
    with pytest.raises(Faults, match=r"The plug-in of loss.mine has changed: its source was \w{8}… \(SHA-256\) then"):
        TrainConfig.from_flat(flat)


def test_what_is_made_of_a_configuration_with_another_loss_forgets_the_plugin() -> None:
    assert replace(TrainConfig(loss="mine"), loss="softmax") == TrainConfig(loss="softmax")


def test_without_the_plugin_its_configuration_is_refused(file: str) -> None:
    flat = TrainConfig(loss="mine").to_flat()
    use_named([])
    with pytest.raises(Faults, match="Unknown loss `mine`"):
        TrainConfig.from_flat(flat)
    assert Path(file).exists()
