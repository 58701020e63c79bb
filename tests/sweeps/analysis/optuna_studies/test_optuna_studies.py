"""Reports of Optuna studies, made by others: counted right, nothing claimed, the file left as it was."""

import hashlib
import re
import sqlite3
import struct
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from embedding_core.errors import Faults
from sweeps.analysis.optuna_studies import study_file
from sweeps.analysis.optuna_studies.counts import REASONS, arms, endings
from sweeps.analysis.optuna_studies.report import optuna_report, render_study
from sweeps.analysis.optuna_studies.study_file import StudyFile, read_study
from sweeps.analysis.report.render import markdown_of
from sweeps.analysis.stats.description.optuna_importances import study_shares
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
    study, _ = read_study(file)
    (arm,) = [arm for arm in arms(study.trials) if arm.parameter == name]
    return arm.levels


def test_counts_of_a_database_shaped_like_study_1(database: Path) -> None:
    study, file = read_study(str(database))
    assert file == StudyFile("koleo.log", hashlib.sha256(database.read_bytes()).hexdigest(), is_cut_off=False)
    assert endings(study.trials) == {"completed": 15, "pruned": 85}
    assert levels(str(database), "koleo") == {
        "True": {"completed": 3, "pruned": 17},
        "False": {"completed": 12, "pruned": 68},
    }
    assert [arm.parameter for arm in arms(study.trials)] == ["accum_steps", "koleo", "optimizer"]


@pytest.mark.slow
def test_its_report_refuses_comparisons_with_each_reason_once(database: Path, tmp_path: Path) -> None:
    page = render_study(str(database), tmp_path / "out")
    text = page.with_name("report.md").read_text(encoding="utf-8")
    assert text.startswith(
        "**Nothing is claimed about an effect: 100 trials of an Optuna study (15 completed, 85 pruned).**"
    )
    assert "Not supported: comparing the levels of accum_steps, koleo, optimizer, for these reasons." in text
    found = dict(re.findall(r"^\| ([a-z ]+): .* \| (.*) \|$", text, re.MULTILINE))
    assert found["unpaired"] == "accum_steps (0), koleo (0), optimizer (0)"
    assert "koleo (True)" in found["starved"]
    assert [found[reason] for reason in ("adaptive", "one seed", "censored")] == ["all"] * 3
    assert list(found) == list(REASONS)
    for meaning in REASONS.values():
        assert text.count(meaning) == 1
    assert "| koleo = False | 12 | 68 | 80 |" in text
    assert "\n| 1 | 61 |\n| 4 | 24 |\n" in text
    drawn = (page.parent / "figures" / "importances.svg").read_text(encoding="utf-8")
    assert {"PED-ANOVA", "fANOVA", "koleo_weight"} <= set(re.findall(r">([^<>]+)</text>", drawn))
    values = (page.parent / "figures" / "values-0.svg").read_text(encoding="utf-8")
    assert sorted(map(int, re.findall(r"<title>trial (\d+): ", values))) == list(range(100))
    for figure in (page.parent / "figures").glob("*.svg"):
        assert "descriptive: adaptive sample" in figure.read_text(encoding="utf-8")
    assert {f.stem for f in (page.parent / "figures").glob("*.svg")} == {
        "importances", "values-0", "values-1", "values-2", "values-3"
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
    study, _ = read_study(f"{file}#beta")
    assert (study.study_name, len(study.trials)) == ("beta", 12)
    with pytest.raises(Faults, match=r"`bata`.*beta"):
        read_study(f"{file}#bata")


@pytest.mark.slow
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
    assert [trial.state for trial in read_study(str(file))[0].trials] == [study1_trials()[0].state]


def test_trials_keep_their_numbers_where_one_was_deleted(tmp_path: Path) -> None:
    """Optuna's storage in memory counts its trials anew."""
    file = tmp_path / "gap.db"
    study = optuna.create_study(storage=f"sqlite:///{file}", direction="maximize")
    study.add_trials([one({"x": 0.5}, X, value=value) for value in (1.0, 2.0)])
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("delete from trials where number = 0")
    study, _ = read_study(str(file))
    assert [trial.number for trial in study.trials] == [1]
    assert "trial 1, value 2." in told(file)


def broken(folder: Path) -> dict[str, str]:
    """What is handed over -> what is said."""
    files = {"empty": b"", "words": b"not a study\n", "rows": b'{"a": 1}\n', "picture": b"\x89PNG\r\n\x1a\n\0\0"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "torn").write_bytes(b"SQLite format 3\0" + bytes(50))
    with closing(sqlite3.connect(folder / "other.db")) as other:
        other.execute("create table things (a)")
    journal(folder / "bare").write_bytes(b"")
    optuna.create_study(storage=JournalStorage(JournalFileBackend(str(folder / "bare"))), study_name="bare")
    return {
        "nowhere": "no file",
        ".": "no file",
        "empty": "holds no study",
        "words": "holds no study",
        "rows": "cannot be read as an Optuna storage",
        "picture": "cannot be read as an Optuna storage",
        "torn": "cannot be read as an Optuna storage",
        "other.db": "cannot be read as an Optuna storage|holds no study",
        "bare": "`bare`.*has no trials",
    }


def refused(file: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says of a file that it makes no report of: one line."""
    assert main([f"optuna:{file}", "--output", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not out.exists()
    return error


@pytest.mark.slow
def test_what_is_no_study_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in broken(tmp_path).items():
        error = refused(tmp_path / name, tmp_path / "out", capsys)
        assert re.search(said, error), error


@pytest.mark.slow
def test_every_lost_page_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the page held, an index that no query asks for included: a store with holes is no store."""
    content = sqlite(tmp_path / "whole.db").read_bytes()
    (size,) = struct.unpack(">H", content[16:18])
    for page in range(len(content) // size):
        damaged = bytearray(content)
        damaged[page * size : (page + 1) * size] = bytes(size)
        (tmp_path / "lost.db").write_bytes(damaged)
        assert re.search("cannot be read|holds no study", refused(tmp_path / "lost.db", tmp_path / "out", capsys))


def test_settings_that_both_levels_completed_are_counted() -> None:
    """A grid with two seeds: nothing stands against comparing, the weight that KoLeo alone has notwithstanding."""
    trials = []
    for i in range(32):
        koleo, lr = i % 2 == 0, 1e-4 * (1 + i // 4)
        params: dict[str, Any] = {"koleo": koleo, "lr": lr} | ({"koleo_weight": 0.01} if koleo else {})
        distributions = {name: (SPACE | WEIGHT)[name] for name in params}
        trial = create_trial(params=params, distributions=distributions, value=0.1 * i, system_attrs={"grid_id": i})
        trials.append(trial)
    (arm,) = arms(trials)
    assert (arm.shared, arm.against) == (8, {})
    (lone,) = arms(trials[:2])
    assert list(lone.against) == ["unpaired", "one seed", "starved"]


def made(folder: Path, *trials: FrozenTrial, **how: Any) -> tuple[optuna.Study, str]:
    """A study of these trials as it is read, and its report as Markdown."""
    storage = JournalStorage(JournalFileBackend(str(folder / "made.log")))
    study = optuna.create_study(storage=storage, study_name="made", **how)
    for trial in trials:
        storage.create_new_trial(study._study_id, template_trial=trial)
    return read_study(str(folder / "made.log"))[0], told(folder / "made.log")


def told(file: Path) -> str:
    """Its report as Markdown."""
    return markdown_of(optuna_report(*read_study(str(file))))


def one(params: dict[str, Any], distributions: dict[str, BaseDistribution], **how: Any) -> FrozenTrial:
    return create_trial(params=params, distributions=distributions, **how)


X: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_best_is_the_best_that_keeps_every_constraint(direction: str, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 9).round(3)
    trials = [one({"x": x}, X, value=x, constraints={"inner": abs(x - 0.5) - 0.3}) for x in values.tolist()]
    study, text = made(tmp_path, *trials, direction=direction)
    assert [trial.number for trial in study.best_trials] == [6 if direction == "maximize" else 2]
    best = study.best_trials[0]
    line = (
        f"Best of 9 completed trials: trial {best.number}, value {best.value}. 5 of 9 keep every constraint; the others"
    )
    assert f"{line} do not count." in text


def test_without_a_trial_that_keeps_the_constraints_there_is_no_best_one(tmp_path: Path) -> None:
    study, text = made(tmp_path, one({"x": 0.5}, X, value=1.0, constraints={"c": 1.0}))
    assert study.best_trials == []
    assert "No completed trial keeps every constraint, so there is no best one." in text


def test_of_several_objectives_the_pareto_front_is_the_best(tmp_path: Path) -> None:
    values = [(0.0, 0.0), (1.0, 2.0), (2.0, 1.0), (0.5, 0.5), (1.5, 1.5)]
    trials = [one({"x": 0.5}, X, values=list(value)) for value in values]
    study, text = made(tmp_path, *trials, directions=["maximize", "maximize"])
    assert [trial.number for trial in study.best_trials] == [1, 2, 4]
    assert "trials 1, 2, 4, the Pareto front." in text
    assert "| value 1 | 2 | 1 | 1.5 | maximized |" in text


def test_trials_of_one_best_value_are_all_named(tmp_path: Path) -> None:
    _, text = made(tmp_path, *[one({"x": 0.5}, X, value=1.0) for _ in range(6)])
    assert "Best of 6 completed trials: trials 0, 1, 2, 3 and 2 more, value 1." in text


@pytest.mark.filterwarnings("ignore:Choices for a categorical")
def test_choices_of_any_type_are_told_apart(tmp_path: Path) -> None:
    choices = [1, True, "1", None, [64], [128, 64], 0.5]
    space: dict[str, BaseDistribution] = {"kind": CategoricalDistribution(choices), "x": FloatDistribution(0, 1)}
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "mixed.log")))
    study = optuna.create_study(storage=storage, study_name="mixed")
    for i in range(14):
        trial = study.ask()
        storage.set_trial_param(trial._trial_id, "kind", i % 7, space["kind"])  # as a sampler does, by its index
        storage.set_trial_param(trial._trial_id, "x", i / 14, space["x"])
        study.tell(trial.number, i / 14)
    assert levels(str(tmp_path / "mixed.log"), "kind") == {
        name: {"completed": 2} for name in ("1", "True", "'1'", "None", "[64]", "[128, 64]", "0.5")
    }
    assert "| kind = [128, 64] | 2 | 2 |" in told(tmp_path / "mixed.log")


def test_a_range_that_was_widened_is_one_range(tmp_path: Path) -> None:
    trials = [
        one({"dim": dim}, {"dim": IntDistribution(16, high, step=16)}, value=float(dim))
        for dim, high in [(16, 64), (48, 64), (64, 64), (208, 512), (512, 512)]
    ]
    study, text = made(tmp_path, *trials)
    assert arms(study.trials) == []
    assert "| dim | 16 | 16 to 512, changed on the way | 16 to 512 | 5 |" in text


def test_few_whole_numbers_are_levels_from_the_lowest_to_the_highest_asked_for(tmp_path: Path) -> None:
    trials = [
        one({"layers": n}, {"layers": IntDistribution(low, high)}, value=1.0) for n, low, high in [(3, 2, 3), (1, 1, 4)]
    ]
    (arm,) = arms(made(tmp_path, *trials)[0].trials)
    assert arm.levels == {"1": {"completed": 1}, "2": {}, "3": {"completed": 1}, "4": {}}


def test_a_value_enqueued_outside_of_its_range_is_shown_as_it_ran(tmp_path: Path) -> None:
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(tmp_path / "log"))))
    study.enqueue_trial({"x": 7.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    assert "| x | 7 | 0 to 1 | 7 to 7 | 1 |" in told(tmp_path / "log")


def test_trials_that_never_ended_are_counted_and_a_cut_off_line_is_said(tmp_path: Path) -> None:
    file = tmp_path / "log"
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(file))), direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.ask(X)
    study.enqueue_trial({"x": 0.5})
    study.optimize(lambda trial: float("nan"), n_trials=1)
    assert endings(read_study(str(file))[0].trials) == {"completed": 2, "failed": 1, "running": 1}
    file.write_bytes(file.read_bytes()[:-5])
    text = told(file)
    assert "(2 completed, 2 running)" in text
    assert "The last line of the journal is cut off; Optuna passes it over." in text


def test_importances_are_optunas_own(tmp_path: Path) -> None:
    """Settings that only some trials have, and ranges that changed, among them."""
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "log")))
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(0), study_name="s")

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1 if trial.number < 10 else 2)
        return x + (trial.suggest_float("y", 0, 1) if trial.suggest_categorical("on", [True, False]) else 0.0)

    study.optimize(objective, n_trials=24)
    shares, reason = study_shares(read_study(str(tmp_path / "log"))[0], "PED-ANOVA")
    assert reason == ""
    assert shares == pytest.approx(optuna.importance.get_param_importances(study))
