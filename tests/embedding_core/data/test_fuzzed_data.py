"""A hundred each of the inputs of `benchmarks/fuzz_data.py`: read as they were made, or refused in sentences."""

import pytest

from benchmarks.fuzz_data import PARTS, verdict, verdicts

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, of metadata


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_whatever_is_drawn_is_read_or_refused(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_CACHE_DIR", "set for each input")
    found = verdicts(part, 100, 0)
    assert found.keys() <= {"read", "refused"}
    assert found["read"] > 20


def test_the_oracle_tells_what_was_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image beside the class folders; a reader that says nothing of it."""
    monkeypatch.setenv("EMBED_CACHE_DIR", "set for each input")
    tree = {"cat/1.png": "image", "dog/1.png": "image", "loose.png": "image"}
    check = PARTS["trees"][1]
    assert verdict(check, tree) == "read"
    monkeypatch.setattr("benchmarks.fuzz_data.told", lambda name: "3 train images of 2 classes")
    assert verdict(check, tree) == "silent guess"
