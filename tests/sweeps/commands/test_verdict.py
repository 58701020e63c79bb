"""`verdict`: words and exit codes of files of scores, against SciPy; what is wrong with them is named all at once."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from sweeps.commands.verdict import main
from sweeps.design import Design
from sweeps.results import store
from sweeps.results.store import Store
from tests.sweeps.invented_runs import swept

WITHOUT = [0.9140, 0.9194, 0.9270, 0.9301, 0.9300]
WITH = [0.9186, 0.9126, 0.9214, 0.9253, 0.9217]
"""Study 1's folds."""

DRAW = np.random.default_rng(0)
OLD = DRAW.normal(0.9, 0.004, 10)
NEW = OLD + DRAW.normal(0.02, 0.002, 10)

Write = Callable[..., str]


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """`csv(name, scores, first=1)` -> the file's name in the current folder, with the columns `seed` and `auc`."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, scores: Sequence[float], first: int = 1, columns: str = "seed,auc") -> str:
        lines = [columns, *(f"{seed},{float(score)!r}" for seed, score in enumerate(scores, start=first))]
        Path(name).write_text("\n".join(lines) + "\n")
        return name

    return write


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """`said(*argv)` -> exit code and lines: of standard output, or of standard error where that is 2."""

    def run(*argv: object) -> tuple[int, list[str]]:
        code = main(list(map(str, argv)))
        out, err = capsys.readouterr()
        assert not (out and err)
        assert bool(err) == (code == 2)
        return code, (err or out).splitlines()

    return run


def test_study_1_folds_are_a_pilot(csv: Write, said: Any) -> None:
    files = csv("off.csv", WITHOUT, columns="fold,test_auc"), csv("on.csv", WITH, columns="fold,test_auc")
    assert said(*files, "--pair-by", "fold") == (
        4,
        [
            "Pilot, no verdict on whether `on.csv` changes AUC: -.0042 [-.0105, +.0021] (against `off.csv`; 5 pairs by "
            "fold, at the settings compared); a verdict needs at least 7 pairs."
        ],
    )
    code, (line,) = said(*files, "--pair-by", "fold", "--json")
    found = json.loads(line)
    assert (code, found["p_value"], found["verdict"], found["matters"]) == (4, 0.125, "pilot", None)
    assert (found["direction"], found["method"], found["n"]) == (None, "paired by fold", 5)


def test_a_difference_that_matters_is_exit_code_0(csv: Write, said: Any) -> None:
    files = csv("old.csv", OLD), csv("new.csv", NEW)
    low, high = stats.ttest_rel(NEW, OLD).confidence_interval()
    code, (line,) = said(*files, "--sesoi", ".005", "--json")
    found = json.loads(line)
    assert found["interval"] == pytest.approx([low, high])
    assert found["estimate"] == pytest.approx((NEW - OLD).mean())
    assert (code, found["matters"], found["direction"], found["better"]) == (0, True, "raised", True)
    assert (found["n"], found["verdict"]) == (10, "beyond")
    assert found["conditional_on"] == "10 pairs by seed, at the settings compared"
    code, lines = said(*files, "--sesoi", ".005")
    assert (code, lines) == (0, [found["sentence"]])
    assert lines[0].startswith("`new.csv` raised auc by .0")
    assert lines[0].endswith(
        "(against `old.csv`; 10 pairs by seed, at the settings compared): more than the .005 that matters."
    )


@pytest.mark.parametrize(
    ("shift", "sesoi", "code", "words"),
    [
        (0.0, 0.02, 3, "`new.csv` makes no difference that matters to auc: "),
        (0.006, 0.02, 3, "`new.csv` changed auc by +.00"),
        (0.006, 0.006, 4, "`new.csv` raised auc by .00"),
        (0.0, 0.001, 4, "The data do not settle whether `new.csv` changes auc: anything between "),
        (-0.02, 0.006, 0, "`new.csv` lowered auc by .0"),
    ],
)
def test_exit_codes_follow_the_words(shift: float, sesoi: float, code: int, words: str, csv: Write, said: Any) -> None:
    wobble = np.tile([-0.004, 0.004], 5)
    found, (line,) = said(csv("old.csv", OLD), csv("new.csv", OLD + shift + wobble), "--sesoi", sesoi)
    assert (found, line.startswith(words)) == (code, True), line


def test_independent_groups_are_compared_after_welch(csv: Write, said: Any) -> None:
    low, high = stats.ttest_ind(NEW[:8], OLD, equal_var=False).confidence_interval()
    paired = csv("old.csv", OLD), csv("new.csv", NEW[:8], first=100)
    without = csv("a.csv", OLD, columns=",auc"), csv("b.csv", NEW[:8], columns=",auc")  # as pandas writes an index
    for argv in ([*paired, "--independent"], without):
        code, (line,) = said(*argv, "--sesoi", ".005", "--json")
        found = json.loads(line)
        assert found["interval"] == pytest.approx([low, high])
        assert (code, found["method"], found["n"], found["n_control"], found["n_treatment"]) == (0, "Welch", 8, 10, 8)
        assert found["conditional_on"] == "independent, 8 runs against 10 runs, at the settings compared"
    code, (line,) = said(*paired, "--sesoi", ".005")
    assert code == 2
    assert "needs at least 2 pairs by `seed`, but `old.csv` and `new.csv` have 0" in line
    assert "say so with `--independent`" in line


def test_several_groups_are_held_together(csv: Write, said: Any) -> None:
    files = csv("a.csv", OLD), csv("b.csv", NEW), csv("c.csv", OLD[::-1])
    code, (line,) = said(*files, "--sesoi", ".001", "--json")
    first, second = json.loads(line)["comparisons"]
    for found, scores in ((first, NEW), (second, OLD[::-1])):
        low, high = stats.ttest_rel(scores, OLD).confidence_interval(0.975)
        assert found["interval"] == pytest.approx([low, high])
        assert (found["control"], found["comparisons_held_together"]) == ("a.csv", 2)
    assert (code, first["matters"], second["matters"]) == (0, True, None)
    code, lines = said(*files, "--sesoi", ".001")
    assert lines[0].startswith("`b.csv` raised auc by .0")
    assert lines[1].startswith("The data do not settle whether `c.csv` changes auc: ")
    assert all("simultaneous over 2 comparisons" in line for line in lines)
    assert said("a.csv", "c.csv", "a.csv", "--sesoi", ".001")[0] == 4  # one is open, one makes no difference
    assert said("a.csv", "a.csv", "a.csv", "--sesoi", ".001")[0] == 3


def test_which_is_better_is_said_where_lower_is(csv: Write, said: Any) -> None:
    files = csv("old.csv", OLD, columns="seed,loss"), csv("new.csv", NEW, columns="seed,loss")
    code, (line,) = said(*files, "--sesoi", ".005", "--lower-is-better")
    assert (code, line.endswith(" that matters. Lower is better: `old.csv` is the better one.")) == (0, True)


def test_runs_without_a_partner_are_told_of(csv: Write, said: Any) -> None:
    code, (line,) = said(csv("old.csv", OLD), csv("new.csv", NEW[2:], first=3), "--sesoi", ".005")
    assert code == 0
    assert "8 pairs by seed" in line
    assert line.endswith(" Left out for want of a partner: 2 (seed 1, 2 of `old.csv`).")


def test_the_same_scores_are_read_from_every_kind_of_file(csv: Write, said: Any) -> None:
    old = csv("old.csv", OLD)
    expected = said(old, csv("new.csv", NEW), "--sesoi", ".005", "--json")[1][0].replace("new.csv", "{}")
    rows = [{"seed": seed, "auc": float(score)} for seed, score in enumerate(NEW, start=1)]
    pq.write_table(pa.Table.from_pylist(rows), "new.parquet")
    Path("new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("bom.csv").write_bytes(b"\xef\xbb\xbf" + Path("new.csv").read_bytes().replace(b"\n", b"\r\n"))
    Path("spaced.csv").write_text(Path("new.csv").read_text().replace(",", " , ") + "\n\n")
    floats = pa.Table.from_pylist([{**row, "seed": float(row["seed"])} for row in rows[::-1]])
    pq.write_table(floats, "floats.parquet")
    for name in ("new.parquet", "new.jsonl", "bom.csv", "spaced.csv", "floats.parquet"):
        assert said(old, name, "--sesoi", ".005", "--json") == (0, [expected.replace("{}", name)])


def test_whole_numbers_are_scores_too(csv: Write, said: Any) -> None:
    Path("old.csv").write_text("seed,hits\n" + "".join(f"{seed},{900 + seed % 3}\n" for seed in range(8)))
    Path("new.csv").write_text("seed,hits\n" + "".join(f"{seed},{950 + seed % 2}\n" for seed in range(8)))
    code, (line,) = said("old.csv", "new.csv", "--sesoi", "10")
    assert (code, line.startswith("`new.csv` raised hits by 49.")) == (0, True)
    assert line.endswith("more than the 10 that matters.")


def test_equal_scores_throughout_are_no_verdict(csv: Write, said: Any) -> None:
    code, (line,) = said(csv("old.csv", [0.9] * 8), csv("new.csv", [0.95] * 8), "--sesoi", ".01")
    assert code == 4
    assert line.endswith("a verdict needs scores that differ from run to run, and here all are equal.")


FAULTY = {
    "empty.csv": ("", "must hold a table of scores, but is empty"),
    "bom.csv": ("\ufeff", "must hold a table of scores, but is empty"),
    "header.csv": ("seed,auc\n", "must hold a row of scores, but has none below its columns seed, auc"),
    "semicolons.csv": (
        "seed;auc\n1;0,91\n",
        "must have commas between its columns, but its first line 'seed;auc' has semicolons",
    ),
    "tabs.csv": ("seed\tauc\n1\t.9\n", r"but its first line 'seed\tauc' has tabs"),
    "headless.csv": ("1,.91\n2,.92\n", "must begin with the names of its columns, but its first line is '1,.91'"),
    "names.csv": ("seed,auc,auc\n1,.9,.8\n", "each column needs a name of its own, but these are repeated: auc"),
    "ragged.csv": ("seed,auc\n1,.9\n2\n", "must have as many cells as the header, 2, but line 3 has 1"),
    "text.csv": (
        "seed,auc\n1,.9\n2,n/a\n3,.8\n",
        "every `auc` must be a finite number, but it is no number in line 3 ('n/a')",
    ),
    "nan.csv": ("seed,auc\n1,nan\n2,.9\n3,-inf\n", "but it is not finite in line 2 ('nan'), line 4 ('-inf')"),
    "gap.csv": ("seed,auc\n1,.9\n2,\n3,.8\n", "`auc` must be a finite number, but it is empty in line 3"),
    "twice.csv": (
        "seed,auc\n4,.9\n5,.8\n4,.7\n",
        "each `seed` must be there once, but some are repeated: 4 (line 2, line 4)",
    ),
    "keyless.csv": ("seed,auc\n1,.9\n,.8\n", "every row needs a `seed`, but it is empty in line 3"),
    "column.csv": ("seed,aux\n1,.9\n2,.8\n", "Unknown column `auc`. Did you mean `aux`? Known: aux, seed"),
    "list.jsonl": ("[1, 2]\n", "line 1 must be a JSON object, but is '[1, 2]'"),
    "broken.jsonl": ('{"seed": 1, "auc": .9}\n', "line 1 must be a JSON object, but cannot be read: "),
    "missing.jsonl": ('{"seed": 1, "auc": 0.9}\n{"seed": 2}\n', "but it is empty in line 2"),
    "nan.jsonl": ('{"seed": 1, "auc": NaN}\n', "but it is not finite in line 1 (nan)"),
    "bool.jsonl": ('{"seed": 1, "auc": true}\n', "but it is no number in line 1 (True)"),
    "huge.jsonl": ('{"seed": 1, "auc": 1' + "0" * 400 + "}\n", "is not finite"),
    "some.parquet": ("no Parquet", "cannot be read as Parquet: "),
    "scores.txt": ("seed,auc\n", "must be a sweep's folder or a file that ends in .csv, .parquet, .jsonl, .ndjson"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_file_is_named_with_what_is_wrong(name: str, csv: Write, said: Any) -> None:
    content, words = FAULTY[name]
    Path(name).write_text(content)
    code, (line,) = said(csv("good.csv", OLD), name, "--metric", "auc", "--pair-by", "seed", "--sesoi", ".01")
    assert code == 2
    assert line.startswith(f"`{name}`")
    assert words in line
    assert line.endswith(".")


def test_all_faults_are_told_at_once(csv: Write, said: Any) -> None:
    Path("text.csv").write_text("seed,auc\n1,high\n1,.9\n")
    Path("utf16.csv").write_bytes("seed,auc\n1,.9\n".encode("utf-16"))
    good = csv("good.csv", OLD)
    code, lines = said(good, "text.csv", "utf16.csv", "god.csv", "--metric", "auc", "--sesoi", "0")
    assert code == 2
    starts = [
        "`--sesoi` must be a number above 0, but got `0`.",
        "`utf16.csv` must be UTF-8, but holds 0xff at 0.",
        "`god.csv` does not exist. Unknown file `god.csv`. Did you mean `good.csv`? Known: good.csv, ",
        "`text.csv`: every `auc` must be a finite number, but it is no number in line 2 ('high').",
        "`text.csv`: each `seed` must be there once, but some are repeated: 1 (line 2, line 3).",
    ]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True] * 5, lines
    assert sorted(path.name for path in Path().iterdir()) == ["good.csv", "text.csv", "utf16.csv"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["a.csv", "--sesoi", "1"], "A verdict is on two groups or more, but got a.csv alone."),
        (
            ["a.csv", "a.csv"],
            "`--sesoi` must be given, the smallest difference in `auc` that matters. Known: test_auc (.003)",
        ),
        (["a.csv", "a.csv", "--sesoi", "nan"], "`--sesoi` must be a number above 0, but got `nan`."),
        (["a.csv", "a.csv", "--sesoi", "-1"], "`--sesoi` must be a number above 0, but got `-1`."),
        (["a.csv", "a.csv", "--sesoi", "1", "--pair-by", "sed"], "Unknown column `sed`. Did you mean `seed`?"),
        (["a.csv", "a.csv", "--sesoi", "1", "--pair-by", "seed", "--independent"], "paired by `seed` or independent"),
        (["a.csv", "wide.csv", "--sesoi", "1"], "name the column of scores in `wide.csv`: candidates are auc, loss."),
        (["a.csv", "words.csv", "--sesoi", "1"], "scores in `words.csv`: no other column holds numbers."),
        (
            ["a.csv", "other.csv", "--sesoi", "1"],
            "same name in all files, but it is `auc` in `a.csv`, `f1` in `other.csv`.",
        ),
        (
            ["one.csv", "one.csv", "--sesoi", "1"],
            "needs at least 2 pairs by `seed`, but `one.csv` and `one.csv` have 1",
        ),
        (
            ["one.csv", "one.csv", "--sesoi", "1", "--independent"],
            "at least 2 scores of each group, but `one.csv` has 1.",
        ),
    ],
)
def test_what_was_asked_for_and_cannot_be_is_said(argv: list[str], words: str, csv: Write, said: Any) -> None:
    csv("a.csv", OLD)
    csv("one.csv", OLD[:1])
    csv("other.csv", OLD, columns="seed,f1")
    Path("wide.csv").write_text("seed,auc,loss,name\n1,.9,.1,x\n")
    Path("words.csv").write_text("seed,name\n1,x\n")
    code, lines = said(*argv)
    assert code == 2
    assert words in lines[0]


# Folders of sweeps.


def scores_of(folder: Path, cell: str) -> np.ndarray:
    """Test AUC of each replicate of a cell, the mean over its blocks."""
    rows = [row for row in store.read(folder, "trials", stage="confirm").to_pylist() if row["cell_id"] == cell]
    replicates = sorted({row["replicate"] for row in rows})
    return np.array([np.mean([row["test_auc"] for row in rows if row["replicate"] == r]) for r in replicates])


def altered(folder: Path, cells: str = "", **columns: Any) -> None:
    """Write the runs of cells whose ids begin so again, as a later attempt, with other columns."""
    for row in store.read(folder, "trials", stage="confirm").to_pylist():
        del row["stage"]
        if row["cell_id"].startswith(cells):
            changed = {name: value(row) if callable(value) else value for name, value in columns.items()}
            again = {**row, **changed, "attempt": row["attempt"] + 1}
            Store.open(folder).write("trials", "confirm", row["trial_id"], again["attempt"], [again])


@pytest.fixture
def sweep(tiny: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`sweep(name, **options)` -> folder of a sweep that has ended, in the current one."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, **what: Any) -> Path:
        folder = swept(tiny, Path("results") / name, **what)
        altered(folder, config_seen_sha256=lambda row: row["config_sha256"])  # as runs that took a step have it
        return folder

    return make


@pytest.mark.slow
def test_seeds_of_a_sweep_of_which_nothing_was_tuned(sweep: Callable[..., Path], said: Any) -> None:
    a, b = (sweep(name, stages="confirm", replicates=5, blocks=1) for name in "ab")
    altered(b, "koleo=on", test_auc=lambda row: row["test_auc"] + 0.1 + row["seed"] % 3 / 1000)
    argv = [f"{a}#koleo=on", f"{b}#koleo=on", "--metric", "test_auc"]
    code, (line,) = said(*argv, "--json")
    found = json.loads(line)
    low, high = stats.ttest_rel(scores_of(b, "koleo=on"), scores_of(a, "koleo=on")).confidence_interval()
    assert found["interval"] == pytest.approx([low, high])
    assert (code, found["sesoi"], found["verdict"], found["n"]) == (0, 0.003, "beyond", 5)
    assert found["sentence"].startswith("`results/b#koleo=on` raised AUC by .10")
    assert found["conditional_on"] == "5 pairs by seed, at the settings compared"
    assert said(f"{a}#koleo=on", f"{a}#koleo=on", "--metric", "test_auc")[0] == 3


@pytest.mark.slow
def test_a_score_of_a_tuned_sweep_is_the_mean_over_the_seeds_of_a_tuning(sweep: Callable[..., Path], said: Any) -> None:
    what = {"preset": "designed", "stages": "tune,confirm", "tuner": "sobol", "points": 2, "blocks": 2}
    a = sweep("a", **what, replicates=4)
    altered(a, test_auc=lambda row: 0.5 + row["seed"] ** 2 * len(row["cell_id"]) % 97 / 200)
    first, second = sorted(set(store.read(a, "trials", stage="confirm")["cell_id"].to_pylist()))[:2]
    code, (line,) = said(f"{a}#{first}", f"{a}#{second}", "--metric", "test_auc", "--json")
    found = json.loads(line)
    low, high = stats.ttest_rel(scores_of(a, second), scores_of(a, first)).confidence_interval()
    assert found["interval"] == pytest.approx([low, high])
    assert found["conditional_on"] == "4 pairs of tunings x 2 seeds by seed, at the settings compared"
    assert (found["n"], found["verdict"] == "pilot", code in (0, 3, 4)) == (4, False, True)
    one = sweep("one", **what, replicates=1)
    code, (line,) = said(f"{one}#{first}", f"{one}#{second}", "--metric", "test_auc")
    assert code == 4
    assert "2 pairs of seeds at one tuning by seed, at the settings compared" in line


@pytest.mark.slow
def test_what_is_wrong_with_a_sweep_is_said(sweep: Callable[..., Path], said: Any) -> None:
    a, b = (sweep(name, stages="confirm", replicates=4, blocks=1) for name in "ab")
    assert said(a, f"{b}#koleo=of", "results/c", "--metric", "test_auc") == (
        2,
        [
            f"`{a}` has several cells: name one, as in `{a}#koleo=off`. Known: koleo=off, koleo=on.",
            f"`{b}`: Unknown cell `koleo=of`. Did you mean `koleo=off`? Known: koleo=off, koleo=on.",
            "`results/c` does not exist. Unknown sweep `c`. Known: a, b.",
        ],
    )
    on = f"{a}#koleo=on", f"{b}#koleo=on"
    code, lines = said(*on)
    assert (code, len(lines)) == (2, 2)
    assert lines[0].startswith(
        f"`--metric` must name the column of scores in `{on[0]}`: candidates are final_val_auc, "
    )
    code, lines = said(*on, "--metric", "test_acu", "--pair-by", "seeds", "--sesoi", "1")
    assert lines[0].startswith(f"`{on[0]}`: Unknown metric `test_acu`. Did you mean `test_auc`?")
    altered(b, "koleo=on", test_sha256="another test split", koleo=False)
    code, lines = said(*on, "--metric", "test_auc")
    assert (code, len(lines)) == (2, 4)
    assert all("mislabelled, `koleo` is False in the run" in line for line in lines)
    altered(a, "koleo=off", test_auc=None, end_reason="diverged")
    code, lines = said(f"{a}#koleo=off", f"{b}#koleo=off", "--metric", "test_auc")
    assert code == 2
    assert "every run must have a finite `test_auc`, but there is none for t0000" in lines[0]
    assert "(diverged)" in lines[0]


@pytest.mark.slow
def test_other_test_images_are_refused(sweep: Callable[..., Path], said: Any) -> None:
    a, b = (sweep(name, stages="confirm", replicates=4, blocks=1) for name in "ab")
    altered(b, "koleo=on", test_sha256="another test split")
    code, (line,) = said(f"{a}#koleo=on", f"{b}#koleo=on", "--metric", "test_auc")
    assert (code, "must be of the same test images" in line) == (2, True)
