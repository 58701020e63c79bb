"""Plug-ins by file and by module: what they declare is there, and whatever is wrong is told at once."""

import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedding_core.errors import Faults
from embedding_core.plugins.builtin import BACKBONES, DATASETS, LOSSES
from embedding_core.plugins.sources import in_use, use, use_named
from tests.embedding_core.plugins.conftest import LOSS

Write = Callable[..., str]


def faults_of(*names: str) -> str:
    before = in_use()
    with pytest.raises(Faults) as caught:
        use_named(names)
    assert in_use() == before
    return str(caught.value)


def test_a_file_adds_what_it_declares_and_the_next_ones_take_its_place(write: Write) -> None:
    (source,) = use_named([write()])
    declared = LOSSES["mine"]
    assert (declared.sees, declared.views, declared.sha256) == ("batch", 1, source.sha256)
    assert {name: (field.kind, field.default) for name, field in declared.own.items()} == {
        "loss.alpha": (float, 0.5), "loss.power": (int, 2), "loss.kind": (str, "plain"), "loss.twice": (bool, False),
    }  # fmt: skip
    use_named([write(LOSS.format(name="other", alpha=1), "other.py")])
    assert "mine" not in LOSSES
    assert "other" in LOSSES
    use(())
    assert set(LOSSES) == set(LOSSES.builtin)


def test_what_travels_is_the_text(write: Write) -> None:
    file = write()
    sent = pickle.dumps(use_named([file]))
    use(())
    Path(file).unlink()
    use(pickle.loads(sent))
    assert LOSSES["mine"].own["loss.alpha"].default == 0.5


def test_a_module_of_a_package_may_import_its_neighbours(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("", "kit/__init__.py")
    write("ALPHA = 3.0\n", "kit/numbers_of_mine.py")
    text = "from .numbers_of_mine import ALPHA\n" + LOSS.format(name="mine", alpha="ALPHA")
    monkeypatch.syspath_prepend(Path(write(text, "kit/losses.py")).parents[1])
    use_named(["kit.losses"])
    assert LOSSES["mine"].own["loss.alpha"].default == 3.0
    for name in [name for name in sys.modules if name.split(".")[0] == "kit"]:
        monkeypatch.delitem(sys.modules, name)


def test_what_cannot_be_found_names_what_is_there(write: Write) -> None:
    file = write()
    told = faults_of(file.replace("mine.py", "mime.py"), "no_such.module")
    assert "Did you mean `mine.py`?" in told
    assert "Plug-in `no_such.module` is no file that ends in .py, and no module" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_package\n", "cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def half(:\n", "cannot be imported: SyntaxError in line 1"),
        ("x = 1\n", "declares nothing: decorate a factory"),
        (LOSS.format(name="softmax", alpha=1), "loss `softmax` is built in; give yours another name."),
        (LOSS.format(name="mine", alpha=1) * 2, None),  # the second takes the place of the first
        (
            "from embedding_core.plugins import loss\n@loss('x', sees='batches')\ndef f(alpha): ...\n",
            "loss `x`: Unknown value of `sees` `batches`. Did you mean `batch`?",
        ),
        (
            "from embedding_core.plugins import loss\n@loss('x', sees='batch', views=4)\ndef f(num_clases): ...\n",
            "`views` must be 1, 2 or 3, but got 4.",
        ),
        (
            "from embedding_core.plugins import loss\n@loss('x', sees='batch')\ndef f(num_clases): ...\n",
            "Unknown parameter without a default `num_clases`. Did you mean `num_classes`?",
        ),
        (
            "from embedding_core.plugins import backbone\n@backbone('x')\ndef f(widths=(1, 2), *rest): ...\n",
            "`widths` must be one of bool, int, float, str, but is `widths=(1, 2)`.",
        ),
        (
            "from embedding_core.plugins import dataset\n@dataset('x')\ndef f(n: int = 0.5): ...\n",
            "the default of `n` must be int, but is 0.5.",
        ),
    ],
)
def test_a_plugin_that_cannot_be_used_says_why(write: Write, text: str, said: str | None) -> None:
    file = write(text)
    if said is None:
        assert use_named([file])
    else:
        assert said in faults_of(file)


def test_all_faults_of_all_plugins_are_told_at_once(write: Write) -> None:
    first = write(
        "from embedding_core.plugins import loss\n@loss('x', sees='all', views=0)\ndef f(a): ...\n", "first.py"
    )
    told = faults_of(first, write("y = 1\n", "second.py"), str(Path(first).parent / "third.py"))
    assert len(told.splitlines()) == 5


def test_two_plugins_of_one_file_name_could_not_be_told_apart(write: Write) -> None:
    told = faults_of(write(), write(LOSS.format(name="other", alpha=2), "folder/mine.py"))
    assert told == "2 plug-ins are called mine.py: give each a name of its own."


def test_one_name_cannot_be_declared_by_two_plugins(write: Write) -> None:
    told = faults_of(write(), write(LOSS.format(name="mine", alpha=2), "again.py"))
    assert "again.py: loss `mine` is declared twice." in told
    assert set(LOSSES) | set(BACKBONES) | set(DATASETS) == {*LOSSES.builtin, *BACKBONES.builtin, *DATASETS.builtin}


def test_the_plugins_in_the_documentation_are_plugins(write: Write) -> None:
    text = (Path(__file__).parents[3] / "docs" / "plugins.md").read_text()
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "\n@" in block]
    use_named([write(block, f"block{number}.py") for number, block in enumerate(blocks)])
    assert {"multi_similarity", "patches", "fashion"} <= {*LOSSES, *BACKBONES, *DATASETS}
