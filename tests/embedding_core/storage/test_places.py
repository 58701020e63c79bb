"""Where one may write, and where caches go if not where they usually do."""

from pathlib import Path

import pytest

from embedding_core.storage import places
from embedding_core.storage.local_cache import cache_dir, lend_cache
from embedding_core.storage.places import obstacle, private_temporary
from tests.places import in_own_mounts


def test_a_file_on_the_way_is_the_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert obstacle(tmp_path / "file" / "deep" / "folder") == tmp_path / "file"
    assert obstacle(tmp_path / "new" / "folder") is None
    assert not (tmp_path / "new").exists()


def test_a_home_that_is_read_only_sends_caches_and_token_elsewhere(tmp_path: Path) -> None:
    """As in a container's image. What is chosen can be written, by its owner alone."""
    code = """
import os, stat, sys
from pathlib import Path
from embedding_core.storage.local_cache import cache_dir, lend_cache
from embedding_core.storage.places import obstacle
from sweeps.doctor import folders, local_ray
home = Path.home()
assert obstacle(home / "deep") == home
assert cache_dir().parent == Path(os.environ["TMPDIR"]), cache_dir()
assert stat.S_IMODE(cache_dir().stat().st_mode) == 0o700
lend_cache("NUMBA_CACHE_DIR", home / "numba")
assert Path(os.environ["NUMBA_CACHE_DIR"]).parent == cache_dir()
assert [one.state for one in local_ray.before_start()] == ["ok"] * 3
assert [folders.caches().state, folders.home().state, folders.results(home / "r").state] == ["note", "note", "red"]
local_ray.make_token()
token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
assert token.parent == cache_dir() and len(token.read_text()) == 64 and stat.S_IMODE(token.stat().st_mode) == 0o600
assert local_ray.names_token() == f"RAY_AUTH_TOKEN_PATH={token} "
first, os.environ["RAY_AUTH_TOKEN_PATH"] = token.read_text(), ""
local_ray.make_token()
assert token.read_text() == first
os.environ["EMBED_CACHE_DIR"], os.environ["RAY_AUTH_TOKEN_PATH"] = str(home / "cache"), ""
(fault,) = local_ray.in_the_way(local_ray.before_start())
assert "neither can be written: name a folder that can be, `export EMBED_CACHE_DIR=FOLDER`." in fault, fault
print("right")
"""
    home, temporary = tmp_path / "home", tmp_path / "t"
    home.mkdir()
    temporary.mkdir()
    mounts = f"mount -t tmpfs -o ro tmpfs {home}"
    assert in_own_mounts(mounts, code, HOME=str(home), TMPDIR=str(temporary), RAY_TMPDIR="/tmp") == "right\n"


def test_a_temporary_folder_that_somebody_else_made_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code is loaded from there."""
    monkeypatch.setattr(places.tempfile, "tempdir", str(tmp_path))
    mine = private_temporary()
    assert mine is not None
    assert mine.parent == tmp_path
    mine.chmod(0o777)
    assert private_temporary() is None
    mine.rmdir()
    mine.symlink_to(tmp_path)
    assert private_temporary() is None


def test_what_the_user_names_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EMBED_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "mine")
    lend_cache("NUMBA_CACHE_DIR", tmp_path / "file" / "numba")
    assert cache_dir() == tmp_path / "file" / "cache"
    assert places.os.environ["NUMBA_CACHE_DIR"] == "mine"
