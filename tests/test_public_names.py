"""The names that other people's code relies on, with their signatures: to change one is a decision seen in a diff.

python tests/test_public_names.py     writes the present state into this file; of a package, every name in its `__all__`

To add a module, write its name and a colon on a line of `PUBLIC`, its names below (of a package none), and run that.
"""

import ast
import difflib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PUBLIC = """
embedding_core.config.train_config:
    TrainConfig(
        *,
        dataset: str = 'digits',
        data_root: str | None = None,
        image_size: int | None = None,
        subset: int | None = None,
        val_share: float = 0.2,
        max_images_per_class: int | None = None,
        seen_classes: int | None = None,
        unseen_classes: int = 0,
        triplets: str = 'disjoint',
        batch_sampler: str = 'random',
        images_per_class: int = 4,
        augmentation: str = 'auto',
        augmentation_strength: float = 1.0,
        crop_padding: int | None = None,
        flip: bool | None = None,
        backbone: str = 'small_cnn',
        weights: str = 'none',
        norm_kind: str = 'group',
        input_scaling: str = 'native',
        head: str = 'linear',
        head_layers: int = 1,
        head_width: int | None = None,
        dropout: float = 0.0,
        embedding_dim: int = 64,
        train_last_layer: bool = True,
        loss: str = 'triplet',
        mining: str = 'easy/semihard',
        margin: float = 0.4,
        distance: str = 'cosine',
        fallback: str = 'farthest',
        scale: float = 64.0,
        temperature: float = 0.5,
        similarity: str = 'cosine',
        koleo: bool = False,
        koleo_weight: float | None = None,
        koleo_top_k: int = 1,
        koleo_group_size: int | None = None,
        koleo_exclude_same_class: bool = False,
        batch_size: int = 64,
        accum_steps: int = 1,
        accum_mode: str = 'naive',
        gap_every: int = 10,
        optimizer: str = 'adam',
        lr: float = 0.0005,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        schedule: str = 'constant',
        warmup_epochs: int = 0,
        freeze_epochs: int = 0,
        unfrozen_lr: float | None = None,
        backbone_lr_ratio: float = 1.0,
        epochs: int = 5,
        seed: int = 0,
        eval_test: bool = False,
        held_out_layer: str = 'embedding',
        classifiers: bool = False,
        probes: int = 0,
        views: str = 'none',
        stop_if_collapsed: bool = False,
        device: str = 'auto',
        precision: str = 'auto',
        compile: bool = False,
    )
    TrainConfig.from_flat(values: dict[str, Any]) -> 'TrainConfig'
    TrainConfig.micro_batch: int
embedding_core.train:
    train(
        config: TrainConfig,
        *,
        resume: Path | None = None,
        save_to: Path | None = None,
        data: DeviceData | None = None,
    ) -> Iterator[Row]
sweeps.analysis:
    Effect(
        estimate: float,
        ci_low: float,
        ci_high: float,
        p_value: float,
        n: int,
        equivalent: bool,
        verdict: str,
        sesoi: float = 0.003,
    )
    paired_effect(control: Arm, treatment: Arm, *, sesoi: float = 0.003) -> Effect
    render_comparison(first: Path | str, second: Path | str, output: Path | None = None) -> Path
    render_study(target: str, output: Path | None = None) -> Path
    render_sweep(results_dir: Path | str) -> Path
sweeps.cli.main:
    main(design: Design, argv: Sequence[str] | None = None) -> int
sweeps.commands.compare:
    main(argv: Sequence[str] | None = None) -> int
sweeps.commands.main:
    main(argv: Sequence[str] | None = None) -> int
sweeps.commands.replay:
    main(argv: Sequence[str] | None = None) -> int
sweeps.commands.report:
    main(argv: Sequence[str] | None = None) -> int
sweeps.commands.status:
    main(argv: Sequence[str] | None = None) -> int
sweeps.design.design:
    Cell(
        *,
        levels: Settings,
        fixed: Settings = <factory>,
        drop_in: Settings = <factory>,
        role: Literal['factorial', 'drop-in', 'control'] = 'factorial',
        settings_of: str = '',
    )
    Design(
        *,
        name: str,
        question: str,
        factors: tuple[Factor, ...] = (),
        arms: tuple[Cell, ...] = (),
        cells: tuple[Cell, ...] = (),
        estimands: tuple[Estimand, ...],
        presets: Mapping[str, Preset],
        fixed: Settings = <factory>,
        datasets: Mapping[str, Settings] = <factory>,
        controls: tuple[Settings, ...] = (),
        published: str = '',
    )
    Estimand(
        *,
        code: str,
        name: str,
        factor: str = '',
        times: str | None = None,
        within: Settings = <factory>,
        each: str | None = None,
        control: tuple[str, ...] = (),
        treatment: tuple[str, ...] = (),
        label: str,
        drop_in_label: str = '',
        outcome: str = 'test_auc',
        outcome_label: str = 'AUC',
        sesoi: float = 0.003,
        family: Literal['primary', 'exploratory'] = 'primary',
    )
    Factor(
        *,
        name: str,
        domain: Range | Levels,
        role: Literal['scientific', 'nuisance', 'fixed'],
        when: tuple[str, tuple[Value, ...]] | None = None,
    )
    Levels(values: tuple[Value, ...])
    Preset(
        *,
        purpose: str,
        dataset: str,
        samples: int = 0,
        epochs: int,
        blocks: int,
        confirm: Literal['drop-in', 'best of search', 'best of tune'],
        levels: Mapping[str, tuple[Value, ...]] = <factory>,
        cells: tuple[str, ...] = (),
        points: int = 0,
        fixed: Settings = <factory>,
        first_trials: tuple[Settings, ...] = (),
        next_command: str = '',
    )
    Range(low: float, high: float, log: bool = False)
sweeps.results.store:
    read(
        results_dir: Path | str,
        table: str,
        *,
        attempts: Literal['latest', 'all'] = 'latest',
        stage: str | None = None,
    ) -> pa.Table
"""

WIDTH = 116
"""Longer signatures have a line per parameter."""

MEANT = """Public names are not what they were:

{changes}

If that is meant, `python tests/test_public_names.py` writes it down, and CHANGELOG.md must say it."""


class Written(str):
    """An annotation as it stands in the source, whatever it stands for."""

    __slots__ = ()
    __repr__ = str.__str__


def listed(text: str) -> dict[str, list[str]]:
    """Names by module in a text such as `PUBLIC`."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([\w.]+):", line):
            names[match[1]] = own = []
        elif match := re.match(r" {4}([\w.]+)", line):
            own.append(match[1])
    return names


def present(names: dict[str, list[str]], width: int = WIDTH) -> str:
    """The text of these names as they are now; of a package, of everything in its `__all__`."""
    lines = []
    for module_name, own in names.items():
        module = import_module(module_name)
        every = sorted({*own, *getattr(module, "__all__", [])})
        lines += [f"{module_name}:", *(textwrap.indent(described(module, name, width), "    ") for name in every)]
    return "\n" + "\n".join(lines) + "\n"


def described(module: ModuleType, name: str, width: int) -> str:
    """`name(parameters) -> result`; of a property its type, of a constant its value."""
    there: Any = module
    try:
        for part in name.split("."):
            there = getattr(there, part)
    except AttributeError:
        return f"{name}: is gone"
    if name.partition(".")[0] not in getattr(module, "__all__", [name.partition(".")[0]]):
        return f"{name}: is not in __all__"
    if isinstance(there, property):
        return f"{name}: {annotations(there.fget)['return']}"
    there = inspect.unwrap(there)
    if inspect.isclass(there) or inspect.isroutine(there):
        return signature_of(there, name, width)
    return f"{name}: module" if inspect.ismodule(there) else f"{name} = {there!r}"


def signature_of(there: Any, name: str, width: int) -> str:
    """Of a function, or of a class's constructor; over several lines where it is longer than `width`."""
    written = annotations(there)
    signature = inspect.signature(there)
    parameters = [p.replace(annotation=Written(written.get(p.name, "?"))) for p in signature.parameters.values()]
    whole = signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    result = "" if inspect.isclass(there) else f" -> {written['return']}"
    line = f"{name}{whole}{result}"
    return line if len(line) <= width else "\n".join([f"{name}(", *by_line(parameters), f"){result}"])


def by_line(parameters: list[inspect.Parameter]) -> list[str]:
    """One to a line, and the star before those that are given by name alone."""
    lines = [f"    {parameter}," for parameter in parameters]
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        lines.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "    *,")
    return lines


def annotations(there: Any) -> dict[str, str]:
    """Annotations by parameter, and of the result as `return`, as they stand in the source."""
    if inspect.isclass(there) and (is_dataclass(there) or not inspect.isfunction(there.__init__)):
        bodies = [tree_of(each).body for each in reversed(there.__mro__) if each.__module__ != "builtins"]
        fields = [node for body in bodies for node in body if isinstance(node, ast.AnnAssign)]
        return {ast.unparse(node.target): ast.unparse(node.annotation) for node in fields}
    node = tree_of(there.__init__ if inspect.isclass(there) else there)
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    found = {arg.arg: ast.unparse(arg.annotation) for arg in every if arg is not None and arg.annotation is not None}
    return found | {"return": ast.unparse(node.returns) if node.returns else "?"}


def tree_of(there: Any) -> Any:
    """Its definition, as parsed."""
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(there)))).body[0]


def test_public_names_are_what_they_were() -> None:
    before, after = PUBLIC.splitlines(), present(listed(PUBLIC)).splitlines()
    changes = "\n".join(difflib.unified_diff(before, after, "tests/test_public_names.py", "the code", lineterm=""))
    assert not changes, MEANT.format(changes=changes)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("made_up")
    (folder / "made_up_names.py").write_text(
        "from dataclasses import dataclass, field\n"
        "from functools import cache\n"
        "Numbers = list[int]\n"
        "SCALE = 2.0\n"
        "@dataclass(kw_only=True)\n"
        "class Point:\n"
        "    x: float\n"
        "    more: Numbers = field(default_factory=list)\n"
        "    @property\n"
        "    def norm(self) -> float: ...\n"
        "class Plain:\n"
        "    def __init__(self, points: list[Point]) -> None: ...\n"
        "def scaled(point: Point, /, by: float = SCALE, *rest: int, twice: bool = False) -> 'Point': ...\n"
        "@cache\n"
        "def unit() -> Point: ...\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("made_up_names")


def test_a_name_is_described_by_what_a_caller_writes(made_up: ModuleType) -> None:
    names = ["Numbers", "Plain", "Point", "Point.norm", "SCALE", "absent", "scaled", "unit"]
    text = present({"made_up_names": names})
    assert text.splitlines()[1:] == [
        "made_up_names:",
        "    Numbers = list[int]",
        "    Plain(points: list[Point])",
        "    Point(*, x: float, more: Numbers = <factory>)",
        "    Point.norm: float",
        "    SCALE = 2.0",
        "    absent: is gone",
        "    scaled(point: Point, /, by: float = 2.0, *rest: int, twice: bool = False) -> 'Point'",
        "    unit() -> Point",
    ]
    assert listed(text) == {"made_up_names": names}


def test_long_signatures_have_a_line_per_parameter(made_up: ModuleType) -> None:
    text = present({"made_up_names": ["Point"]}, width=20)
    assert text.splitlines()[2:] == [
        "    Point(",
        "        *,",
        "        x: float,",
        "        more: Numbers = <factory>,",
        "    )",
    ]
    assert listed(text) == {"made_up_names": ["Point"]}


def test_a_face_lists_all_of_its_names(made_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_up, "__all__", ["Point"], raising=False)
    assert listed(present({"made_up_names": []})) == {"made_up_names": ["Point"]}
    assert "    scaled: is not in __all__" in present({"made_up_names": ["scaled"]})


if __name__ == "__main__":
    here = Path(__file__)
    here.write_text(here.read_text().replace(PUBLIC, present(listed(PUBLIC))))
