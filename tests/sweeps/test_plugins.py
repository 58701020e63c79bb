"""Plug-ins through whole sweeps: each example, trained by real workers, read without it, gone on with as it was."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedding_core.plugins.sources import in_use, use
from sweeps.cli.main import main
from sweeps.commands import replay
from sweeps.design import Cell, Design, Factor, Preset, Range
from sweeps.results import store

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"

SEEDS = 2

MINE = Design(
    name="mine",
    question="Does it run?",
    cells=(Cell(levels={"embedding_dim": 8}),),
    factors=(
        Factor(
            name="loss.beta", role="nuisance", domain=Range(20.0, 60.0, log=True), when={"loss": ("multi_similarity",)}
        ),
    ),
    estimands=(),
    fixed={"loss": "softmax", "subset": 96, "batch_size": 32, "views": "none", "val_images": 60},
    presets={
        "quick": Preset(purpose="seconds", dataset="digits", epochs=2, replicates=SEEDS, confirm="drop-in"),
        "tuned": Preset(purpose="seconds", dataset="digits", epochs=2, points=2, blocks=2, confirm="best of tune"),
    },
)

ARGUMENTS = {
    "multi_similarity": ["--loss", "multi_similarity", "--set", "loss.beta=40", "--set", "loss.alpha=1"],
    "residual_net": ["--set", "backbone=residual_net", "--set", "backbone.depth=1"],
    "timm_backbone": ["--set", "backbone=timm_backbone", "--set", "norm_kind=batch"],
    "drawn_shapes": ["--dataset", "drawn_shapes", "--set", "dataset.noise=0.2", "--set", "dataset.images=200"],
}

Sweep = Callable[..., int]


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    use(())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def sweep(results: Path) -> Sweep:
    """`sweep(name, *arguments, plugin=)` -> exit status; the plug-in is a file of its own, which no other has."""

    def run(name: str, *arguments: str, plugin: str | Path = "") -> int:
        given = ["--plugin", str(plugin)] if plugin else []
        return main(MINE, ["--results", str(results), "--name", name, "--max-concurrent", "1", *given, *arguments])

    return run


def trials(results: Path, name: str, stage: str = "confirm") -> list[dict[str, Any]]:
    return store.read(results / name, "trials", stage=stage).to_pylist()


@pytest.mark.ray
@pytest.mark.parametrize("example", ARGUMENTS)
def test_each_example_runs_in_real_workers_and_is_read_without_it(
    example: str, sweep: Sweep, results: Path, start_ray: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    start_ray(num_cpus=2)
    assert sweep(example, *ARGUMENTS[example], plugin=EXAMPLES / f"{example}.py") == 0
    (source,) = in_use()
    use(())
    rows = trials(results, example)
    assert len(rows) == SEEDS
    kind = {"multi_similarity": "loss", "drawn_shapes": "dataset"}.get(example, "backbone")
    for row in rows:
        assert row["end_reason"] == "completed"
        assert row[kind] == example
        assert row["config_seen_sha256"] == row["config_sha256"]
        assert row["plugin_sha256"] == f"{kind}.{example}:{source.sha256}"
        assert row["data_sha256"]
    own = {name: rows[0][name] for name in rows[0] if "." in name}
    assert (
        own
        == {
            "multi_similarity": {"loss.alpha": 1.0, "loss.beta": 40.0, "loss.base": 0.5, "loss.epsilon": 0.1},
            "residual_net": {"backbone.width": 32.0, "backbone.depth": 1.0},
            "timm_backbone": {"backbone.model": "resnet10t", "backbone.pretrained": 0.0},
            "drawn_shapes": {"dataset.images": 200.0, "dataset.noise": 0.2},
        }[example]
    )
    capsys.readouterr()
    assert replay.main([str(results / example), "t00001", "--plugin", str(EXAMPLES / f"{example}.py")]) == 0
    assert "2 epochs, all equal to the stored rows" in capsys.readouterr().out


@pytest.mark.ray
def test_a_field_of_a_plugin_is_tuned_and_a_plugin_that_was_edited_is_refused(
    sweep: Sweep, results: Path, start_ray: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_ray(num_cpus=2)
    plugin = Path(shutil.copy(EXAMPLES / "multi_similarity.py", tmp_path / "of_mine.py"))
    arguments = ("--preset", "tuned", "--loss", "multi_similarity")
    assert sweep("tuned", *arguments, "--stages", "tune", plugin=plugin) == 0
    use(())
    betas = {row["trial_id"]: row["loss.beta"] for row in trials(results, "tuned", "tune")}
    assert len(set(betas.values())) == 2
    assert all(20 <= beta <= 60 for beta in betas.values())

    def refused(*given: Path) -> str:
        capsys.readouterr()
        assert sweep("tuned", "--resume", *(word for file in given for word in ("--plugin", str(file)))) == 2
        return " ".join(capsys.readouterr().err.split())

    # What a folder names is not run of its own accord: not the file that its plan names, nor the copy.
    assert f"its plug-in of_mine.py is not given (`--plugin {plugin}`)" in refused()
    plugin.write_text(plugin.read_text().replace("alpha: float = 2.0", "alpha: float = 3.0"))
    assert "A resumed sweep keeps its plug-ins, but of_mine.py has changed since (SHA-256 " in refused(plugin)
    told = refused(EXAMPLES / "residual_net.py")
    assert "the sweep has no plug-in residual_net.py; its plug-in of_mine.py is not given" in told
    assert sweep("tuned", "--resume", plugin=results / "tuned" / "plugins" / "of_mine.py") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--loss", "multi_similarty"], ["Unknown loss `multi_similarty`. Did you mean `multi_similarity`?"]),
        (
            ["--loss", "multi_similarity", "--set", "loss.alhpa=3", "--set", "loss.beta=x", "--points", "0"],
            [
                "Unknown key `loss.alhpa`. Did you mean `loss.alpha`?", "`loss.beta` must be float, but got `x`.",
                "`--points` must be at least 1",
            ],
        ),
        (["--plugin", "multi_similarity.py"], ["Plug-in `multi_similarity.py` cannot be read"]),
        (["--set", "backbone=multi_similarity"], ["Unknown backbone `multi_similarity`."]),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_nothing_is_written(
    arguments: list[str], said: list[str], sweep: Sweep, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("bad", *arguments, plugin=EXAMPLES / "multi_similarity.py") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert all(each in told for each in said)
    assert not (results / "bad").exists()
