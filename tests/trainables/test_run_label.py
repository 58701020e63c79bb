"""Ray's flat config: a run's label and its configuration, apart again without a loss."""

from dataclasses import fields, replace

import pytest

from embedding_core.config.train_config import TrainConfig
from embedding_core.errors import Faults
from trainables.run_label import RunLabel, from_flat, to_flat

LABEL = RunLabel(
    study_id="s", stage="search", cell_id="koleo=on", trial_id="t00012", block=0, origin="sampled", attempt=2,
    checkpoint_dir="/shared/checkpoints",
)  # fmt: skip


def test_there_and_back() -> None:
    config = TrainConfig(koleo=True, koleo_weight=0.1, lr=3e-4, subset=96)
    assert from_flat(to_flat(config, LABEL)) == (config, LABEL)


def test_no_name_is_both_label_and_setting() -> None:
    assert {f.name for f in fields(RunLabel)}.isdisjoint(f.name for f in fields(TrainConfig))


def test_the_label_does_not_change_what_is_computed() -> None:
    config = TrainConfig()
    flat = to_flat(config, LABEL) | {"attempt": 7, "trial_id": "t00099"}
    assert from_flat(flat)[0].sha256 == config.sha256


def test_a_run_without_a_replicate_is_of_the_first() -> None:
    assert LABEL.replicate == 1
    second = replace(LABEL, replicate=2)
    assert from_flat(to_flat(TrainConfig(), second))[1] == second


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(Faults, match=r"Unknown key `koleo_wieght`. Did you mean `koleo_weight`\?"):
        from_flat(to_flat(TrainConfig(), LABEL) | {"koleo_wieght": 0.1})


def test_a_trial_finds_its_checkpoint_by_stage_and_id_whatever_the_attempt() -> None:
    assert LABEL.checkpoint == "search/t00012.pt"
    assert LABEL.held_out == "search/t00012.held_out"
