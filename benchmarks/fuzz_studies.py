"""Optuna studies as no one would write them, and damaged ones: a report or one sentence, never a traceback.

    python benchmarks/fuzz_studies.py [--inputs 1000] [--seed 0]

Half of the inputs are whole: journals and SQLite databases with any names, ranges (changed on the way, left by values
that were enqueued), choices (lists, None, nan, 1 and True and "1"), settings that only some trials have, states,
constraints of both of Optuna's formats, several objectives, infinite values. What is reported of them must be what the
study holds: counts and the best trials, found here by comparing each with each. The other half are damaged: pages lost
or swapped, bytes and lines changed, files cut off. A lost page that goes unnoticed must have changed nothing.
"""

import argparse
import contextlib
import io
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import optuna
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from embedding_core.errors import Faults
from sweeps.analysis.optuna_studies.counts import endings
from sweeps.analysis.optuna_studies.report import optuna_report
from sweeps.analysis.optuna_studies.study_file import read_study
from sweeps.analysis.report.render import markdown_of, write_pages
from sweeps.analysis.stats.description.optuna_importances import quiet_optuna

HANG_S: Final = 60.0
"""Of the clock."""

BEGUN: Final = datetime(2026, 1, 2, 3, 4, 5)
ENDED: Final = datetime(2026, 1, 2, 3, 5, 6)
FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

NAMES: Final = st.sampled_from(
    ["lr", "x", "cost_$usd$", "<b>|`*", "日本", "a" * 120, "grid_id", "(not set)"]
) | st.text(min_size=1, max_size=12)
NUMBERS: Final = st.floats(-10, 10) | st.floats(allow_nan=False)
CHOICES: Final = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | NAMES | st.lists(st.integers(0, 3), max_size=3)
)


class Hang(BaseException):
    """Not an `Exception`: what reads a study catches those."""


@dataclass(frozen=True)
class Invented:
    """A study to be written."""

    name: str
    directions: Sequence[StudyDirection]
    trials: Sequence[FrozenTrial]


@st.composite
def distributions(draw: st.DrawFn) -> list[BaseDistribution]:
    """Of one parameter: one, or the two of a range that changed."""
    kind = draw(st.sampled_from(["float", "int", "category"]))
    if kind == "category":
        return [CategoricalDistribution(draw(st.lists(CHOICES, min_size=1, max_size=10)))]
    many = st.lists(st.integers(-5, 600), min_size=2, max_size=2, unique=True).map(sorted)
    pairs = draw(st.lists(many, min_size=1, max_size=2))
    if kind == "int":
        step = draw(st.sampled_from([1, 1, 3]))
        return [IntDistribution(low, low + step * (high - low), step=step) for low, high in pairs]
    log = draw(st.booleans())
    shift = 6.0 if log else 0.0
    return [FloatDistribution(low + shift, high + shift, log=log) for low, high in pairs]


@st.composite
def studies(draw: st.DrawFn, most: int = 24) -> Invented:
    """Any study that Optuna itself would write."""
    space = draw(st.dictionaries(NAMES, distributions(), max_size=4))
    directions = draw(
        st.lists(st.sampled_from([StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]), min_size=1, max_size=3)
    )
    limits = draw(st.sampled_from([0, 0, 1, 2]))
    trials = [draw(_trial(i, space, len(directions), limits)) for i in range(draw(st.integers(1, most)))]
    return Invented(draw(NAMES), directions, trials)


@st.composite
def _trial(
    draw: st.DrawFn, number: int, space: dict[str, list[BaseDistribution]], objectives: int, limits: int
) -> FrozenTrial:
    states = [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.COMPLETE, *TrialState]
    state = draw(st.sampled_from(states))
    own = {name: draw(st.sampled_from(asked)) for name, asked in space.items() if draw(st.integers(0, 5))}
    constraints = draw(st.lists(st.floats(-1, 1), min_size=limits, max_size=limits))
    attrs: dict[str, Any] = {f"constraints:{i}": value for i, value in enumerate(constraints)}
    if draw(st.booleans()) and constraints:
        attrs = {"constraints": constraints}
    reported = draw(st.dictionaries(st.integers(0, 9), st.floats(), max_size=3)) if objectives == 1 else {}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        values=[draw(NUMBERS) for _ in range(objectives)] if state == TrialState.COMPLETE else None,
        datetime_start=None if state == TrialState.WAITING else BEGUN,
        datetime_complete=ENDED if state in FINISHED else None,
        params={name: draw(_value(distribution)) for name, distribution in own.items()},
        distributions=own,
        user_attrs={},
        system_attrs=attrs,
        intermediate_values=reported,
    )


def _value(distribution: BaseDistribution) -> st.SearchStrategy[Any]:
    match distribution:
        case CategoricalDistribution():
            return st.sampled_from(distribution.choices)
        case IntDistribution():
            return st.integers(0, (distribution.high - distribution.low) // distribution.step).map(
                lambda i: distribution.low + i * distribution.step
            )
        case FloatDistribution():
            # Now and then a value that was enqueued.
            return st.floats(distribution.low, distribution.high) | st.just(distribution.high * 2)
    raise AssertionError(distribution)


def write_study(path: Path, invented: Invented, schema: bytes | None = None) -> None:
    """A journal, or a database that goes on from `schema`, an empty one of Optuna's."""
    storage: BaseStorage
    if schema is None:
        storage = JournalStorage(JournalFileBackend(str(path)))
    else:
        path.write_bytes(schema)
        storage = RDBStorage(f"sqlite:///{path}", {"poolclass": NullPool})
    study_id = storage.create_new_study(invented.directions, invented.name)
    for trial in invented.trials:
        storage.create_new_trial(study_id, template_trial=trial)


def empty_database(folder: Path) -> bytes:
    """Optuna's tables without rows; making them takes longer than all else."""
    RDBStorage(f"sqlite:///{folder / 'schema.db'}", {"poolclass": NullPool})
    return (folder / "schema.db").read_bytes()


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What is done to the bytes of a file."""
    kind = draw(st.sampled_from(["page", "swap", "cut", "bytes", "head", "line"]))
    where = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=8))
    what = draw(st.binary(min_size=1, max_size=16))

    def damage(content: bytes) -> bytes:
        size = 4096 if content.startswith(b"SQLite") else max(1, len(content) // 20)
        pages = [content[i : i + size] for i in range(0, len(content), size)]
        first, second = (int(place * len(pages)) for place in where[:2])
        lines = content.splitlines(keepends=True)
        if kind == "page":
            pages[first] = bytes(len(pages[first]))
        elif kind == "swap":
            pages[first], pages[second] = pages[second], pages[first]
        elif kind == "line":
            pages = [*lines[: int(where[0] * len(lines))], what, *lines[int(where[1] * len(lines)) :]]
        elif kind == "cut":
            return content[: int(where[0] * len(content))]
        else:
            changed = bytearray(content)
            for place in where:
                start = int(place * (100 if kind == "head" else len(content)))
                changed[start : start + len(what)] = what
            return bytes(changed[: len(content)])
        return b"".join(pages)

    damage.__name__ = kind
    return damage


def differences(study: optuna.Study, invented: Invented) -> list[str]:
    """What is reported of a whole study and is not so."""
    found = []
    if (study.study_name, len(study.trials)) != (invented.name, len(invented.trials)):
        found.append("another study")
    words = {TrialState.COMPLETE: "completed", TrialState.FAIL: "failed"}
    counts = Counter(words.get(trial.state, trial.state.name.lower()) for trial in invented.trials)
    if endings(study.trials) != counts:
        found.append(f"{endings(study.trials)} of {counts}")
    if (best := [trial.number for trial in study.best_trials]) != brute_best(invented):
        found.append(f"best {best} of {brute_best(invented)}")
    return found


def brute_best(invented: Invented) -> list[int]:
    """Numbers of the completed trials that keep every constraint and that no other such trial beats."""
    signs = [-1 if direction == StudyDirection.MAXIMIZE else 1 for direction in invented.directions]
    kept = {
        trial.number: [sign * value for sign, value in zip(signs, trial.values, strict=True)]
        for trial in invented.trials
        if trial.state == TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())
    }

    def beaten(own: list[float]) -> bool:
        return any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in kept.values())

    return [number for number, own in kept.items() if not beaten(own)]


def told(path: Path, pages: Path | None = None) -> optuna.Study | str:
    """The study of which a report was made, drawn into the folder `pages` if it is given; else the sentence of refusal.

    Raises:
        AssertionError: that is no sentence.
    """
    try:
        study, file = read_study(str(path))
    except Faults as error:
        if "\n" in str(error):
            raise AssertionError(f"more than a sentence: {error}") from error
        return str(error)
    report = optuna_report(study, file)
    if pages is None:
        markdown_of(report)
    else:
        write_pages(pages, report)
    return study


def judged(path: Path, invented: Invented, damage: Callable[[bytes], bytes] | None, pages: Path | None = None) -> str:
    """`report`, `refused` or what is wrong with the answer to this file."""
    whole = path.read_bytes()
    if damage is not None:
        path.write_bytes(damage(whole))
    study = told(path, pages)
    if isinstance(study, str):
        return "refused" if damage is not None else f"whole, but refused: {study}"
    # Other bytes that changed may be another study's; a lost page is a hole.
    must_hold = damage is None or (damage.__name__ == "page" and whole.startswith(b"SQLite"))
    return "; ".join(differences(study, invented) if must_hold else []) or "report"


CASES: Final = st.tuples(studies(), st.booleans(), st.none() | damages())
"""A study, whether it is a database, and what is done to its file."""


@dataclass
class Tally:
    """What came of the inputs so far."""

    endings: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raise `Hang` in what takes longer."""

    def ring(_signal: int, _frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(inputs: int, number: int, folder: Path) -> Tally:
    """Try so many inputs; one in ten with its pages drawn."""
    tally, schema = Tally(), empty_database(folder)

    @seed(number)
    @settings(
        max_examples=inputs,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def attempt(case: tuple[Invented, bool, Callable[[bytes], bytes] | None]) -> None:
        invented, is_database, damage = case
        path = folder / "study"
        path.unlink(missing_ok=True)
        n = tally.endings.total()
        what = f"input {n}, {'database' if is_database else 'journal'}, {damage.__name__ if damage else 'whole'}"
        try:
            with quiet_optuna():
                write_study(path, invented, schema if is_database else None)
                with no_longer_than(HANG_S), contextlib.redirect_stderr(io.StringIO()):
                    ending = judged(path, invented, damage, folder / "pages" if n % 10 == 0 else None)
        except Hang:
            ending = "hang"
        except Exception:  # noqa: BLE001 - this is what is looked for
            ending = "traceback"
            tally.wrong.append(f"{what}: {traceback.format_exc(limit=-4)}")
        if ending not in ("report", "refused", "traceback"):
            tally.wrong.append(f"{what}: {ending}")
            ending = ending if ending == "hang" else "silent guess"
        tally.endings[ending] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, of lists as choices
        attempt()
    return tally


def main() -> int:
    """Print what came of the inputs; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzz(arguments.inputs, arguments.seed, Path(folder))
    print(*tally.wrong[:20], sep="\n")
    kinds = ("report", "refused", "traceback", "hang", "silent guess")
    counts = ", ".join(f"{kind} {tally.endings[kind]}" for kind in kinds)
    print(
        f"seed {arguments.seed}, {tally.endings.total()} studies: {counts}; {time.process_time() - begun:.0f} s of CPU"
    )
    return int(bool(tally.wrong))


if __name__ == "__main__":
    sys.exit(main())
