"""Reports of Optuna studies, made by others: counted right, nothing claimed, the file left as it was."""

import hashlib
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from embedding_core.errors import Faults
from sweeps.analysis.optuna_studies import study_file
from sweeps.analysis.optuna_studies.counts import arms, endings, pruned_after
from sweeps.analysis.optuna_studies.report import render_study
from sweeps.analysis.optuna_studies.study_file import read_study
from sweeps.commands.report import main

SPACE: dict[str, BaseDistribution] = {
    "koleo": CategoricalDistribution([True, False]),
    "accum_steps": CategoricalDistribution([1, 2, 4]),
    "optimizer": CategoricalDistribution(["adam", "rmsprop"]),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "margin": FloatDistribution(0.2, 0.6),
}
WEIGHT = {"koleo_weight": FloatDistribution(1e-4, 1e-1, log=True)}


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study1_trials() -> list[FrozenTrial]:
    """The shape of study 1's database: 100 trials, 15 complete, 61 of 85 pruned after step 1, KoLeo in 20, 3 of them
    complete."""
    draw = np.random.default_rng(0)
    found = []
    for i in range(100):
        koleo = i % 5 == 0
        params: dict[str, Any] = {
            "koleo": koleo,
            "accum_steps": [1, 2, 4][int(draw.integers(3))],
            "optimizer": ["adam", "rmsprop"][int(draw.integers(2))],
            "lr": float(10 ** draw.uniform(-4, -2)),
            "margin": float(draw.uniform(0.2, 0.6)),
        }
        distributions = SPACE | (WEIGHT if koleo else {})
        if koleo:
            params["koleo_weight"] = float(10 ** draw.uniform(-4, -1))
        complete = i in (0, 35, 70) or (not koleo and i < 16)
        quality = 0.95 - 0.02 * abs(np.log10(params["lr"]) + 3.5)
        steps = 15 if complete else 1 if len([t for t in found if t.last_step == 1]) < 61 else 4
        reported = {step: float(quality - 0.2 / step) for step in range(1, steps + 1)}
        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        found.append(
            create_trial(
                state=state,
                params=params,
                distributions=distributions,
                intermediate_values=reported,
                value=reported[steps],
            )
        )
    return found


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal: SQLite takes a second or two for each ten trials."""
    file = tmp_path_factory.mktemp("study1") / "koleo.log"
    storage = JournalStorage(JournalFileBackend(str(file)))
    optuna.create_study(storage=storage, study_name="koleo-study", direction="maximize").add_trials(study1_trials())
    return file


def sqlite(file: Path) -> Path:
    optuna.create_study(storage=f"sqlite:///{file}", direction="maximize").add_trials(study1_trials()[:12])
    return file


def journal(file: Path, *names: str) -> Path:
    storage = JournalStorage(JournalFileBackend(str(file)))
    for name in names:
        optuna.create_study(storage=storage, study_name=name).add_trials(study1_trials()[:12])
    return file


def levels(file: str, name: str) -> dict[str, dict[str, int]]:
    study = read_study(file)
    (arm,) = [arm for arm in arms(study.trials, maximize=study.maximize) if arm.parameter == name]
    return {level.name: level.endings for level in arm.levels}


def test_counts_of_a_database_shaped_like_study_1(database: Path) -> None:
    study = read_study(str(database))
    assert endings(study.trials) == {"completed": 15, "pruned": 85}
    assert levels(str(database), "koleo") == {
        "False": {"completed": 12, "pruned": 68},
        "True": {"completed": 3, "pruned": 17},
    }
    assert pruned_after(study.trials) == {1: 61, 4: 24}
    assert [arm.parameter for arm in arms(study.trials, maximize=True)] == ["accum_steps", "koleo", "optimizer"]


def test_its_report_refuses_each_comparison_with_the_reasons(database: Path, tmp_path: Path) -> None:
    page = render_study(str(database), tmp_path / "out")
    text = page.with_name("report.md").read_text(encoding="utf-8")
    assert text.startswith(
        "**Nothing is claimed about an effect: 100 trials of an Optuna study (15 completed, 85 pruned).**"
    )
    (refused,) = [line for line in text.splitlines() if line.startswith("Not supported: koleo,")]
    for reason in (
        "False against True. Adaptive: ",
        "Unpaired: at no setting of the other parameters did two levels complete.",
        "One seed per configuration: ",
        "Starved: fewer than 10 trials completed at True (False 12 of 80, True 3 of 20).",
        "Censored: pruned trials have no final value (False 68 of 80, True 17 of 20)",
    ):
        assert reason in refused
    assert "| False | 12 | 68 | 80 |" in text
    assert "PED-ANOVA" in text
    assert "fANOVA" in text
    for figure in (page.parent / "figures").glob("*.svg"):
        assert "descriptive: adaptive sample" in figure.read_text(encoding="utf-8")
    assert {f.stem for f in (page.parent / "figures").glob("*.svg")} == {
        "importances", "values", "values-0", "values-1", "values-2"
    }  # fmt: skip
    assert not re.search(r"\b(raised|lowered|no evidence)\b", text)


@pytest.mark.parametrize("make", [pytest.param(sqlite, marks=pytest.mark.slow), lambda file: journal(file, "one")])
def test_the_file_and_its_folder_are_left_as_they_were(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make(tmp_path / "study.any")
    digest, beside = hashlib.sha256(file.read_bytes()).hexdigest(), sorted(file.parent.iterdir())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main([f"optuna:{file}"]) == 0
    assert capsys.readouterr().out.strip() == f"{file.stem}-report/report.html"
    assert (elsewhere / f"{file.stem}-report" / "report.md").is_file()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest
    assert [path for path in sorted(file.parent.iterdir()) if path != elsewhere] == beside


def test_one_of_several_studies_is_chosen_by_name(tmp_path: Path) -> None:
    file = journal(tmp_path / "log", "alpha", "beta")
    with pytest.raises(Faults, match=r"holds 2 studies; choose one with .*#NAME`: alpha, beta"):
        read_study(str(file))
    study = read_study(f"{file}#beta")
    assert (study.name, len(study.trials), study.maximize) == ("beta", 12, False)
    with pytest.raises(Faults, match=r"`bata`.*beta"):
        read_study(f"{file}#bata")


def test_what_a_writer_has_not_committed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a write-ahead log changes go into the file itself before they are committed."""
    file = tmp_path / "live.db"
    study = optuna.create_study(storage=f"sqlite:///{file}", direction="maximize")
    study.add_trial(study1_trials()[0])
    monkeypatch.setattr(study_file, "LOCKED_S", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("pragma cache_size = 1")  # so that they do
        writer.execute("begin exclusive")
        writer.execute("update trials set state = 'FAIL'")
        with pytest.raises(Faults, match="database is locked"):
            read_study(str(file))
        writer.execute("rollback")
    assert [trial.state for trial in read_study(str(file)).trials] == [study1_trials()[0].state]


def broken(folder: Path) -> dict[str, str]:
    """What is handed over -> what is said."""
    files: dict[str, bytes] = {"empty": b"", "words": b"not a study\n", "rows": b'{"a": 1}\n'}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "torn").write_bytes(b"SQLite format 3\0" + bytes(50))
    with sqlite3.connect(folder / "other.db") as other:
        other.execute("create table things (a)")
    optuna.create_study(storage=f"sqlite:///{folder}/none.db", study_name="bare")
    optuna.create_study(storage=f"sqlite:///{folder}/two.db", study_name="both", directions=["maximize", "minimize"])
    return {
        "nowhere": "no file",
        ".": "is a folder",
        "empty": "is empty",
        "words": "neither a SQLite database nor a journal",
        "rows": "neither a SQLite database nor a journal",
        "torn": "cannot be read as an Optuna storage",
        "other.db": "without the tables of Optuna",
        "none.db": "`bare`.*has no trials",
        "two.db": "2 objectives",
    }


@pytest.mark.slow
def test_what_is_no_study_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in broken(tmp_path).items():
        assert main([f"optuna:{tmp_path / name}", "--output", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert re.search(said, error), error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_settings_that_both_levels_completed_are_counted() -> None:
    """A grid with two seeds: nothing stands against comparing, the weight that KoLeo alone has notwithstanding."""
    trials = []
    for i in range(32):
        koleo, lr = i % 2 == 0, 1e-4 * (1 + i // 4)
        params: dict[str, Any] = {"koleo": koleo, "lr": lr} | ({"koleo_weight": 0.01} if koleo else {})
        distributions = {name: (SPACE | WEIGHT)[name] for name in params}
        trial = create_trial(params=params, distributions=distributions, value=0.1 * i, system_attrs={"grid_id": i})
        trials.append(trial)
    (arm,) = arms(trials, maximize=True)
    assert (arm.shared, arm.against) == (8, ())
    (lone,) = arms(trials[:2], maximize=True)
    assert [reason.split(":")[0] for reason in lone.against] == ["unpaired", "one seed per configuration", "starved"]


def test_best_follows_the_direction() -> None:
    trials = study1_trials()
    for maximize, pick in ((True, max), (False, min)):
        (koleo,) = [arm for arm in arms(trials, maximize=maximize) if arm.parameter == "koleo"]
        for level in koleo.levels:
            done = [t.value for t in trials if str(t.params["koleo"]) == level.name and t.state == TrialState.COMPLETE]
            assert level.best == pick(value for value in done if value is not None)
