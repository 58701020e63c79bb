"""The command line: what is unknown or impossible is told at once, with the nearest known name and the values."""

import re
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from sweeps.cli.help import help_of
from sweeps.cli.options import parse
from sweeps.cli.sweep_folder import folder_of
from sweeps.design import Design
from sweeps.engine.machines.cluster import Where
from sweeps.engine.machines.resources import Request
from sweeps.koleo_accum import DESIGN
from sweeps.results import latest


def faults_of(*argv: str, design: Design = DESIGN) -> tuple[str, ...]:
    with pytest.raises(Faults) as caught:
        parse(design, argv)
    return caught.value.faults


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--sampels", "--samples"),
        ("--dataste", "--dataset"),
        ("--resum", "--resume"),
        ("--max-concurent", "--max-concurrent"),
    ],
)
def test_an_unknown_flag_names_the_nearest(typed: str, meant: str) -> None:
    (fault,) = faults_of(typed, "3")
    assert fault.startswith(f"Unknown flag `{typed}`. Did you mean `{meant}`?")
    (fault,) = faults_of(f"{typed}=3")
    assert f"Did you mean `{meant}`?" in fault


def test_the_known_flags_are_those_of_the_help() -> None:
    shown = re.findall(r"^  (?:-h, )?(--[a-z-]+)", help_of(DESIGN), flags=re.MULTILINE)
    known = faults_of("--nonsense")[0].partition("Known: ")[2].rstrip(".").split(", ")
    assert known == sorted(shown)


def test_no_abbreviations() -> None:
    (fault,) = faults_of("--sam", "3")
    assert "Unknown flag `--sam`" in fault


def test_all_faults_at_once() -> None:
    argv = (
        "--sampels 3 --epochs 0 --blocks many --seed -1 --confirm bets --stages serach,confirm --preset quik "
        "--set koleo_wieght=.1 --set lr=high --set margin --gpus-per-trial -1 --cpus-per-trial nan --name a/b "
        "--local --address here:1"
    )
    faults = faults_of(*argv.split())
    expected = [
        "Unknown flag `--sampels`. Did you mean `--samples`?",
        "`--epochs` must be at least 1, but got 0.",
        "`--blocks` must be a number, but got `many`.",
        "`--seed` must be at least 0, but got -1.",
        "Unknown confirm `bets`. Did you mean `best`?",
        "Unknown stage `serach`. Did you mean `search`?",
        "Unknown preset `quik`. Did you mean `quick`?",
        "Unknown key `koleo_wieght`. Did you mean `koleo_weight`?",
        "`lr` must be float, but got `high`.",
        "A setting must be key=value, but got `margin`.",
        "`--gpus-per-trial` must be at least 0, but got -1.",
        "`--cpus-per-trial` must be above 0, but got nan.",
        "`--name` must be a plain folder name, but got `a/b`.",
        "`--local` and `--address` exclude each other, but got both (here:1).",
    ]
    assert len(faults) == len(expected)
    for sentence in expected:
        assert any(fault.startswith(sentence) for fault in faults), sentence


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--samples"], "Argument --samples: expected one argument."),
        (["--resume=3"], "Argument --resume: ignored explicit argument '3'."),
        (["digits"], "Unexpected argument `digits`."),
        (
            ["--gpus-per-trial", "1.5"],
            "`--gpus-per-trial` must be at most 1, as a trial trains on one GPU, but got 1.5.",
        ),
        (["--blocks", "0"], "`--blocks` must be at least 1, but got 0."),
        (["--replicates", "0"], "`--replicates` must be at least 1, but got 0."),
        (
            ["--set", "split_seed=3"],
            "`--set split_seed` would give all replicates one draw of images; it derives from `--seed`.",
        ),
        (["--train-triplets", "0"], "`--train-triplets` must be at least 1, but got 0."),
        (["--exempt", "1"], "`--exempt` must be in [0, 1), but got 1."),
        (["--exempt", "nan"], "`--exempt` must be in [0, 1), but got nan."),
        (["--grace", "0"], "`--grace` must be above 0 and at most 1, but got 0."),
        (["--eta", "1"], "`--eta` must be at least 2, but got 1."),
        (["--searcher", "tpf"], "Unknown searcher `tpf`. Did you mean `tpe`? Known: random, tpe."),
        (["--points", "0"], "`--points` must be at least 1, but got 0."),
        (["--max-concurrent", "0"], "`--max-concurrent` must be at least 1, but got 0."),
    ],
)
def test_one_fault_one_sentence(argv: list[str], sentence: str) -> None:
    assert faults_of(*argv) == (sentence,)


@pytest.mark.parametrize("name", ["a/b", "/tmp/x", "..", ".", "", "a/"])
def test_a_name_is_a_plain_folder_name(name: str) -> None:
    assert faults_of("--name", name) == (f"`--name` must be a plain folder name, but got `{name}`.",)


def test_the_link_to_the_latest_sweep_can_be_gone_on_with_and_not_begun(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    latest.point_to(tmp_path / "mine")
    argv = ["--results", str(tmp_path), "--name", "latest"]
    (fault,) = faults_of(*argv)
    assert fault == "`--name latest` is the link to the sweep that was started last: give another name."
    assert folder_of(DESIGN, parse(DESIGN, [*argv, "--resume"])) == tmp_path / "mine"


def test_only_what_was_given_is_kept(tmp_path: Path) -> None:
    argv = f"--samples 3 --train-triplets 96 --set lr=1e-3 --set koleo_weight=none --data-root {tmp_path} --plan"
    options = parse(DESIGN, argv.split())
    assert options.what == {
        "samples": 3, "subset": 96, "lr": 1e-3, "koleo_weight": None, "data_root": str(tmp_path)
    }  # fmt: skip
    assert options.plan
    assert options.name is options.where.address is options.request.gpus is None
    assert options.results == Path("results").resolve()
    assert parse(DESIGN, []).what == {}


def test_the_engine_is_given_what_a_trial_asks_for_and_where(tmp_path: Path) -> None:
    line = "--gpus-per-trial .5 --cpus-per-trial 2 --memory-per-trial 3 --max-concurrent 4 --address here:1"
    options = parse(DESIGN, line.split())
    assert options.request == Request(gpus=0.5, cpus=2, memory_gib=3, most=4)
    assert options.where == Where(address="here:1")
    assert parse(DESIGN, ["--local", "--gpus-per-trial", "auto"]).request == Request(gpus="auto")
    assert parse(DESIGN, ["--local"]).where == Where(local=True)


def test_checkpoints_are_a_uri_as_it_is_or_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = "s3://bucket/prefix?region=eu-central-1"
    assert parse(DESIGN, ["--checkpoints", uri]).checkpoints == uri
    assert parse(DESIGN, ["--checkpoints", "shared"]).checkpoints == str(tmp_path / "shared")
    assert parse(DESIGN, []).checkpoints is None


def test_checkpoints_come_by_time_or_after_each_epoch() -> None:
    assert parse(DESIGN, []).save_every_s == 60
    assert parse(DESIGN, ["--save-every", "10m"]).save_every_s == 600
    assert parse(DESIGN, ["--save-every", "epoch"]).save_every_s == 0
    (fault,) = faults_of("--save-every", "often")
    assert fault == "`--save-every` must be a time such as 45s or 90m, or epoch, but got `often`."


def test_an_epoch_has_a_deadline_unless_it_is_said_never() -> None:
    assert parse(DESIGN, []).epoch_deadline_s == 7200
    assert parse(DESIGN, ["--epoch-deadline", "1h30m"]).epoch_deadline_s == 5400
    assert parse(DESIGN, ["--epoch-deadline", "never"]).epoch_deadline_s == 0
    (fault,) = faults_of("--epoch-deadline", "soon")
    assert fault == "`--epoch-deadline` must be a time such as 45s or 90m, or never, but got `soon`."


def test_how_long_trials_may_wait_for_room_is_a_time_or_never() -> None:
    assert parse(DESIGN, []).room_deadline_s == 7200
    assert parse(DESIGN, ["--room-deadline", "30m"]).room_deadline_s == 1800
    assert parse(DESIGN, ["--room-deadline", "never"]).room_deadline_s == 0
