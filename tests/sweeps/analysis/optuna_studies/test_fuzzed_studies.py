"""Optuna studies as no one would write them, and damaged ones (benchmarks/fuzz_studies.py tries a thousand)."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_studies import Invented, damages, empty_database, judged, studies, write_study
from sweeps.analysis.stats.description.optuna_importances import quiet_optuna

# A failure prints the example and the `@reproduce_failure` line that makes it again.
FUZZED = settings(
    max_examples=50,
    phases=[Phase.reuse, Phase.generate],
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@pytest.fixture(scope="module")
def schema(folder: Path) -> bytes:
    return empty_database(folder)


def answer(
    folder: Path, invented: Invented, schema: bytes | None, damage: Callable[[bytes], bytes] | None = None
) -> str:
    (folder / "study").unlink(missing_ok=True)
    with quiet_optuna():
        write_study(folder / "study", invented, schema)
        return judged(folder / "study", invented, damage)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Choices for a categorical")
@FUZZED
@given(invented=studies(most=14), is_database=st.booleans())
def test_what_is_told_of_a_study_is_what_it_holds(
    folder: Path, schema: bytes, invented: Invented, is_database: bool
) -> None:
    """Counts by state, and the best trials that keep every constraint."""
    assert answer(folder, invented, schema if is_database else None) == "report"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Choices for a categorical")
@FUZZED
@given(invented=studies(most=4), is_database=st.booleans(), damage=damages())
def test_a_damaged_study_is_refused_in_a_sentence_or_has_lost_nothing(
    folder: Path, schema: bytes, invented: Invented, is_database: bool, damage: Callable[[bytes], bytes]
) -> None:
    assert answer(folder, invented, schema if is_database else None, damage) in ("report", "refused")
