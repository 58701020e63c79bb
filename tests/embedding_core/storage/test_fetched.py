"""Files of an object store: listed once per machine and start; an outage is told from a refusal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from embedding_core.errors import Faults
from embedding_core.storage.atomic_write import StorageError
from embedding_core.storage.fetched import LISTING, NotFetched, fetched

Answering = Callable[..., str]


def upload(bucket: str, name: str, text: bytes) -> None:
    store, root = fs.FileSystem.from_uri(f"{bucket}/{name}")
    store.create_dir(root)
    with store.open_output_stream(f"{root}/file") as stream:
        stream.write(text)


def test_the_processes_of_one_start_share_a_listing_and_the_next_start_lists_again(
    bucket: str, cache: Path, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bucket, "mine", b"first")
    monkeypatch.setenv(LISTING, "one")
    folder = fetched(bucket, "mine")
    upload(bucket, "mine", b"second one")
    with monkeypatch.context() as gone:
        gone.setenv("AWS_ENDPOINT_URL", f"http://{answering(409)}")
        assert fetched(bucket, "mine") == folder, "nobody was asked"
        assert (folder / "mine" / "file").read_bytes() == b"first"
        gone.setenv(LISTING, "another")
        with pytest.raises(NotFetched, match="The data root s3://bucket/prefix cannot be read"):
            fetched(bucket, "mine")
    monkeypatch.setenv(LISTING, "another")
    assert (fetched(bucket, "mine") / "mine" / "file").read_bytes() == b"second one"


def test_files_that_do_not_come_are_no_fault_of_the_cache(
    bucket: str, cache: Path, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(bucket, "half", b"listed")
    monkeypatch.setenv(LISTING, "one")
    fetched(bucket, "half")
    for folder in cache.glob("*/half"):
        (folder / "file").unlink()
        folder.rmdir()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{answering(409)}")
    with pytest.raises(NotFetched, match="s3://bucket/prefix/half cannot be copied"):
        fetched(bucket, "half")


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AccessDenied", "ACCESS_DENIED"),
        (403, "ExpiredToken", "ExpiredToken"),
        (400, "ExpiredToken", "ExpiredToken"),
        (301, "PermanentRedirect", "PermanentRedirect"),
    ],
)
def test_what_a_store_refuses_is_not_waited_for(
    bucket: str, cache: Path, answering: Answering, monkeypatch: pytest.MonkeyPatch, status: int, code: str, told: str
) -> None:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{answering(status, body)}")
    with pytest.raises(Faults, match=told) as refused:
        fetched(bucket, "mine")
    assert not isinstance(refused.value, StorageError)
