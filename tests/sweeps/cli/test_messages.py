"""What to run next keeps what the user asked for."""

import shlex
import sys

import pytest

from sweeps.cli.messages import next_command
from sweeps.cli.options import parse
from sweeps.design.plan import Plan
from sweeps.koleo_accum import DESIGN


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> "After":
    monkeypatch.setattr(sys, "argv", ["sweeps/koleo_accum.py"])
    monkeypatch.delenv("EMBED_DATA_ROOT", raising=False)
    return After()


class After:
    def __call__(self, line: str, *, begun_with: str | None = None) -> list[str]:
        """Arguments of the command that is recommended after this one, or after this resume of another."""
        plan = Plan.of(DESIGN, parse(DESIGN, shlex.split(line if begun_with is None else begun_with)).what)
        return shlex.split(next_command(plan, shlex.split(line)))[2:]


def test_the_question_stays_the_same_and_the_size_changes(after: After) -> None:
    line = "--loss semihard --epochs 2 --replicates 4 --stages confirm --set head=mlp --seed 3 --name mine --local"
    assert after(line) == shlex.split("--preset features --seed 3 --loss semihard --set head=mlp --local")
    assert after("") == ["--preset", "features"]
    line = "--set freeze_epochs=1 --results out --data-root /data --controls"
    kept = after(f"{line} --plugin my.py", begun_with=line)
    assert kept[:2] == ["--preset", "features"]
    assert parse(DESIGN, [word for word in kept if word not in ("--plugin", "my.py")]).what == {
        "preset": "features", "controls": True, "data_root": "/data", "freeze_epochs": 1
    }  # fmt: skip
    assert kept[-4:] == ["--results", "out", "--plugin", "my.py"]


def test_a_resume_keeps_what_the_sweep_was_begun_with(after: After) -> None:
    expected = ["--preset", "features", "--loss", "semihard", "--max-concurrent", "2"]
    assert after("--resume --name mine --max-concurrent 2", begun_with="--loss semihard --samples 3") == expected
    assert after("--extend 4 --max-concurrent 2", begun_with="--loss semihard") == expected


def test_what_the_recommendation_is_about_is_its_own(after: After) -> None:
    assert after("--preset features --outcome auc") == ["--preset", "features", "--outcome", "recall_at_1"]
    assert after("--preset features --outcome recall_at_1") == []
    assert after("--preset minimal --epochs 3")[:4] == ["--preset", "minimal", "--dataset", "cifar10"]
    assert after("--preset minimal --dataset mnist") == []  # it would leave the user's own images
    assert after("--dataset mnist") == ["--preset", "features", "--dataset", "mnist"]
