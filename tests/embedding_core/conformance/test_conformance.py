"""The conformance suite: built-in parts and the examples have every property, wrong ones lack theirs by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedding_core.conformance import NotConforming, check_backbone, check_dataset, check_loss, check_plugin
from embedding_core.conformance.__main__ import main
from embedding_core.plugins.builtin import BACKBONES, LOSSES
from embedding_core.plugins.sources import use, use_named

EXAMPLES = Path(__file__).parents[3] / "examples" / "plugins"

WRONG = '''
import torch
from torch import nn
from embedding_core.plugins import backbone, dataset, loss


class Centred(nn.Module):
    """Keeps a running centre, in no buffer."""

    centre = 0.0

    def forward(self, z, labels):
        self.centre = 0.9 * self.centre + 0.1 * z.detach().mean(dim=0)
        return (z - self.centre).square().sum(dim=1).mean()


@loss("keeps_state", sees="sample")
def keeps_state():
    return Centred()


@loss("nan_on_one_class", sees="batch")
def nan_on_one_class():
    return lambda z, labels: (z @ z.T)[labels[:, None] != labels].mean()


@loss("sees_the_batch", sees="sample")
def sees_the_batch():
    return lambda z, labels: (z @ z.T).mean()


@loss("constant", sees="sample")
def constant():
    return lambda z, labels: 0 * z.sum()


@loss("vector", sees="sample")
def vector():
    return lambda z, labels: z.square().sum(dim=1)


class Neighbours(nn.Module):
    """An image's features depend on who else is there."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 8, 8)

    def forward(self, x):
        maps = self.layer(x)
        return maps - maps.mean(dim=0, keepdim=True)


@backbone("neighbours")
def neighbours():
    return Neighbours()


class Same:
    def __len__(self):
        return 80

    def __getitem__(self, row):
        return torch.full((1, 8, 8), row % 4, dtype=torch.uint8), row % 4


@dataset("leaks")
def leaks(split):
    return Same()
'''


@pytest.fixture(autouse=True)
def _none_left(cache: Path) -> Iterator[None]:
    yield
    use(())


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    return str(file)


@pytest.mark.parametrize("name", LOSSES.builtin)
def test_built_in_losses_conform(name: str) -> None:
    check_loss(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES.builtin)
def test_built_in_backbones_conform(name: str) -> None:
    check_backbone(name)


def test_the_embedded_data_set_conforms() -> None:
    check_dataset("digits")


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.stem)
def test_the_examples_conform(file: Path) -> None:
    check_plugin(file)


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("keeps_state", {"no state between batches", "resume bit for bit"}),
        ("nan_on_one_class", {"finite on hostile batches"}),
        ("sees_the_batch", {"naive accumulation is the whole batch"}),
        ("constant", {"gradient reaches the embeddings"}),
    ],
)
def test_a_wrong_loss_lacks_its_property_by_name(wrong: str, name: str, lacking: set[str]) -> None:
    use_named([wrong])
    with pytest.raises(NotConforming) as caught:
        check_loss(name)
    assert lacking <= set(caught.value.broken)
    assert all(f"loss {name}: not {each}: " in str(caught.value) for each in lacking)


def test_a_loss_that_is_no_scalar_says_its_shape(wrong: str) -> None:
    use_named([wrong])
    with pytest.raises(NotConforming, match=r"`vector` must return a scalar tensor, but returned a tensor of shape"):
        check_loss("vector")


def test_a_backbone_whose_features_depend_on_other_images_is_found(wrong: str) -> None:
    use_named([wrong])
    with pytest.raises(NotConforming) as caught:
        check_backbone("neighbours", side=16)
    assert "an image alone is as among others" in caught.value.broken


def test_test_images_that_are_trained_on_are_found(wrong: str) -> None:
    use_named([wrong])
    with pytest.raises(NotConforming) as caught:
        check_dataset("leaks")
    assert caught.value.broken == {"no test image is trained on": "80 of 80 test images are training images, too"}


def test_the_command_line_says_what_holds_and_what_does_not(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(EXAMPLES / "drawn_shapes.py")]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {"holds"}
    assert main([wrong + "x.py"]) == 2
    assert "Did you mean `wrong.py`?" in capsys.readouterr().err
