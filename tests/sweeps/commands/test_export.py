"""`export`: CSV files that another reader reads back, event files that TensorBoard reads, and nothing half-written."""

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sweeps.commands import tensorboard_runs
from sweeps.commands.event_file import EventFile, masked_crc32c
from sweeps.commands.export import main
from sweeps.design import Design
from sweeps.results import store
from sweeps.results.schema import CURVES, TABLES
from sweeps.results.store import Store
from tests.sweeps.invented_runs import swept

ENDED = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A completed trial in two stages under one id, one that failed before its first epoch, and one that runs."""
    folder = tmp_path / "results" / "made"
    made = Store.create(folder)
    for stage in ("search", "confirm"):
        rows = [
            {
                "epoch": e,
                "update": 10 * e,
                "val_auc": 0.5 + e / 10,
                "elapsed_s": 4.0 * e,
                "is_finite": True,
                "miner": "x",
            }
            for e in (1, 2, 3)
        ]
        rows[1]["loss_total"] = 1e300
        made.write("curves", stage, "t00000", 1, rows)
        config = {"lr": 0.001, "loss": "triplet", "koleo_weight": None}
        ended = {
            "cell_id": "koleo=off",
            "end_reason": "completed",
            "ended_at": ENDED,
            "config_json": json.dumps(config),
        }
        made.write("trials", stage, "t00000", 1, [ended])
    made.write("trials", "confirm", "t00001", 1, [{"cell_id": "koleo=on", "end_reason": "error"}])
    made.write("curves", "confirm", "t00002", 1, [{"epoch": 1, "val_auc": 0.25, "elapsed_s": 7.0}])
    return folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str], list[str]]]:
    """`said(*argv)` -> exit code, lines of standard output, lines of standard error."""

    def run(*argv: object) -> tuple[int, list[str], list[str]]:
        code = main(list(map(str, argv)))
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def test_every_table_is_a_file_that_pandas_reads_back(tiny: Design, tmp_path: Path, said: Any) -> None:
    folder, out = swept(tiny, tmp_path / "s", stages="search,confirm"), tmp_path / "new" / "tables"
    Store.open(folder).replace("contrasts", [{"estimand": "koleo", "estimate": 0.1, "label": 'a "b", c\nd'}])
    image = b"\x89PNG\r\n\x00"
    view = {"split": "test", "view": "closest", "item": 1, "rank": 0, "thumbnail": image}
    Store.open(folder).write("views", "confirm", "t00000", 1, [view])
    code, lines, errors = said("csv", folder, out)
    assert (code, errors) == (0, [])
    assert sorted(file.name for file in out.iterdir()) == sorted(f"{name}.csv" for name in TABLES)
    for name in TABLES:
        table, found = store.read(folder, name), pd.read_csv(out / f"{name}.csv")
        assert f"{out / name}.csv: {table.num_rows:,} row{'s' * (table.num_rows != 1)}" in lines
        assert list(found.columns) == table.column_names
        assert len(found) == table.num_rows
        for column in ("trial_id", "stage", "epoch", "val_auc", "test_auc", "value", "label", "config_json"):
            if column in table.column_names:
                stored = table[column].to_pandas()
                pd.testing.assert_series_equal(found[column], stored, check_dtype=False, check_names=False)
    embeddings, views = pd.read_csv(out / "embeddings.csv"), pd.read_csv(out / "views.csv")
    assert list(map(json.loads, embeddings["embedding"])) == store.read(folder, "embeddings")["embedding"].to_pylist()
    assert [base64.b64decode(text) for text in views["thumbnail"].dropna()] == [image]
    assert pd.read_csv(out / "trials.csv")["loss"].notna().all()


def test_a_table_without_rows_is_a_header(sweep: Path, tmp_path: Path, said: Any) -> None:
    assert said("csv", sweep, tmp_path / "out")[0] == 0
    names = (tmp_path / "out" / "rungs.csv").read_text().strip().replace('"', "").split(",")
    assert names == [*TABLES["rungs"].names, "stage"]


def records(file: Path) -> Iterator[bytes]:
    """Payloads of the TFRecords in a file, checksums compared with those of another implementation."""
    from tensorboardX.record_writer import masked_crc32c as other

    data, at = file.read_bytes(), 0
    while at < len(data):
        (length,), (crc,) = struct.unpack_from("<Q", data, at), struct.unpack_from("<I", data, at + 8)
        payload = data[at + 12 : at + 12 + length]
        assert crc == other(data[at : at + 8])
        assert struct.unpack_from("<I", data, at + 12 + length)[0] == other(payload)
        yield payload
        at += 16 + length


def events(file: Path) -> list[Any]:
    """Parsed by the classes that protoc made of TensorFlow's sources."""
    pytest.importorskip("tensorboardX", reason="its protocol buffers are the oracle; they come with Ray Tune")
    from tensorboardX.proto.event_pb2 import Event

    return [Event.FromString(payload) for payload in records(file)]


def test_each_trial_is_a_run_with_its_curves(sweep: Path, tmp_path: Path, said: Any) -> None:
    out = tmp_path / "runs"
    code, lines, errors = said("tensorboard", sweep, out)
    assert (code, lines) == (0, [f"{out}/confirm/: 3 runs", f"{out}/search/: 1 run"])
    assert bool(errors) == (find_spec("tensorboard") is None)
    runs = sorted(str(file.parent.relative_to(out)) for file in out.rglob("*tfevents*"))
    assert runs == ["confirm/t00000", "confirm/t00001", "confirm/t00002", "search/t00000"]
    version, text, *curve = events(out / "confirm" / "t00000" / tensorboard_runs.EVENTS)
    assert version.file_version == "brain.Event:2"
    (value,) = text.summary.value
    assert (value.tag, value.metadata.plugin_data.plugin_name) == ("config/text_summary", "text")
    assert [dimension.size for dimension in value.tensor.tensor_shape.dim] == [1]
    (table,) = value.tensor.string_val
    assert table.decode().splitlines() == [
        "| setting | value |", "|---|---|", "| cell_id | koleo=off |", "| end_reason | completed |", "| lr | 0.001 |",
        "| loss | triplet |", "| koleo_weight | None |",
    ]  # fmt: skip
    assert [event.step for event in curve] == [1, 2, 3]
    assert [event.wall_time - ENDED.timestamp() for event in curve] == [-8.0, -4.0, 0.0]
    scalars = [{value.tag: value.simple_value for value in event.summary.value} for event in curve]
    assert [set(own) for own in scalars] == [
        {"update", "val_auc", "elapsed_s"},
        {"update", "val_auc", "elapsed_s", "loss_total"},
        {"update", "val_auc", "elapsed_s"},
    ]
    assert [own["val_auc"] for own in scalars] == pytest.approx([0.6, 0.7, 0.8])
    assert scalars[1]["loss_total"] == math.inf


def test_trials_without_an_end_or_an_epoch_are_runs_too(sweep: Path, tmp_path: Path, said: Any) -> None:
    assert said("tensorboard", sweep, tmp_path / "runs")[0] == 0
    failed, running = (events(tmp_path / f"runs/confirm/{t}" / tensorboard_runs.EVENTS) for t in ("t00001", "t00002"))
    assert [event.summary.value[0].tag for event in failed[1:]] == ["config/text_summary"]
    assert [(event.step, event.wall_time) for event in running[1:]] == [(1, 7.0)]


def test_every_column_of_numbers_is_drawn() -> None:
    assert set(CURVES.names) - set(tensorboard_runs.DRAWN) == {
        "trial_id", "attempt", "epoch", "miner", "collapsed", "is_finite",
    }  # fmt: skip


def test_tensorboard_opens_the_runs(sweep: Path, tmp_path: Path, said: Any) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    said("tensorboard", sweep, tmp_path / "runs")
    run = reader.EventAccumulator(str(tmp_path / "runs" / "confirm" / "t00000"))
    run.Reload()
    assert "val_auc" in run.Tags()["scalars"]
    assert [event.step for event in run.Scalars("val_auc")] == [1, 2, 3]
    assert [event.value for event in run.Scalars("val_auc")] == pytest.approx([0.6, 0.7, 0.8])
    assert "config/text_summary" in run.Tags()["tensors"]


def test_without_tensorboard_the_remedy_is_said(
    sweep: Path, tmp_path: Path, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.commands.export.find_spec", lambda name: None)
    code, _, (line,) = said("tensorboard", sweep, tmp_path / "runs")
    assert code == 0
    assert "TensorBoard is not installed here" in line
    assert "`pip install tensorboard`" in line
    assert line.endswith(f"`tensorboard --logdir {tmp_path / 'runs'}`.")


def test_the_checksum_is_castagnolis() -> None:
    """CRC32C of `123456789` is 0xe3069283 (RFC 3720, appendix B.4, has the polynomial)."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_large_steps_and_long_texts_are_whole(tmp_path: Path) -> None:
    with (tmp_path / "events").open("wb") as stream:
        file = EventFile(stream, 0.5)
        file.text("config", "ä" * 40_000, wall_time=1.5)
        file.scalars({"x": -0.0, "y": 3.0}, step=2**40, wall_time=2.5)
    _, text, scalars = events(tmp_path / "events")
    assert text.summary.value[0].tensor.string_val[0].decode() == "ä" * 40_000
    assert (scalars.step, scalars.wall_time, len(scalars.summary.value)) == (2**40, 2.5, 2)


def test_what_cannot_be_exported_is_said_all_at_once(sweep: Path, tmp_path: Path, said: Any, tree: Any) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    before = tree(tmp_path)
    code, out, lines = said("cvs", tmp_path / "results" / "mad", taken)
    assert (code, out, len(lines)) == (2, [], 3)
    assert lines[0] == "Unknown format `cvs`. Did you mean `csv`? Known: csv, tensorboard."
    assert "Unknown sweep `mad`. Did you mean `made`?" in lines[1]
    assert lines[2] == f"OUT must be a new folder or an empty one, but `{taken}` is there and not empty."
    assert said("csv", sweep, taken / "file")[0] == 2
    assert said("csv", sweep)[2] == ["The following arguments are required: OUT."]
    Store.create(tmp_path / "empty")
    before = tree(tmp_path)
    for kind in ("csv", "tensorboard"):
        code, _, (line,) = said(kind, tmp_path / "empty", tmp_path / "out")
        assert (code, line) == (2, f"`{tmp_path / 'empty'}` holds no trials yet: there is nothing to export.")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["csv", "tensorboard"])
def test_nothing_is_left_of_an_export_that_fails(kind: str, sweep: Path, tmp_path: Path, said: Any, tree: Any) -> None:
    (damaged,) = (sweep / "v1" / "curves" / "stage=search").glob("*.parquet")
    damaged.write_bytes(damaged.read_bytes()[:100])
    before = tree(tmp_path)
    code, _, (line,) = said(kind, sweep, tmp_path / "out")
    assert code == 2
    assert str(damaged) in line
    assert tree(tmp_path) == before


def test_an_empty_folder_is_taken(sweep: Path, tmp_path: Path, said: Any) -> None:
    (tmp_path / "out").mkdir()
    assert said("csv", sweep, tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "trials.csv").is_file()
