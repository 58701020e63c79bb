"""Crops and flips against the set of all windows of the padded image."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from embedding_core.augment import crop_and_flip


def augment(images: Tensor, *, padding: int, flip: bool, seed: int = 0) -> Tensor:
    return crop_and_flip(images, padding=padding, flip=flip, generator=torch.Generator().manual_seed(seed))


def noise(n: int, c: int, h: int, w: int) -> Tensor:
    return torch.randint(0, 256, (n, c, h, w), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


def windows(image: Tensor, padding: int) -> dict[bytes, tuple[int, int]]:
    """Every window of the padded image, by content."""
    _, h, w = image.shape
    padded = F.pad(image, (padding,) * 4)
    return {
        padded[:, top : top + h, left : left + w].contiguous().numpy().tobytes(): (top, left)
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    }


@pytest.mark.parametrize(("c", "h", "w"), [(1, 8, 8), (3, 6, 9)])
@pytest.mark.parametrize("flip", [False, True])
def test_every_output_is_a_window_of_its_own_image_or_its_mirror(c: int, h: int, w: int, flip: bool) -> None:
    images = noise(64, c, h, w)
    out = augment(images, padding=2, flip=flip)
    assert out.shape == images.shape
    assert out.dtype == torch.uint8
    mirrored = 0
    for image, result in zip(images, out, strict=True):
        known = windows(image, 2)
        straight = result.contiguous().numpy().tobytes() in known
        mirror = result.flip(2).contiguous().numpy().tobytes() in known
        assert straight != mirror
        mirrored += mirror
    # 64 fair coins: outside 16..48 with probability below 1e-4.
    assert 16 <= mirrored <= 48 if flip else mirrored == 0


def test_each_image_of_a_batch_is_cropped_for_itself_and_every_offset_occurs() -> None:
    image = noise(1, 1, 8, 8)
    out = augment(image.expand(900, 1, 8, 8), padding=1, flip=False)
    offsets = windows(image[0], 1)
    counts = dict.fromkeys(offsets.values(), 0)
    for result in out:
        counts[offsets[result.contiguous().numpy().tobytes()]] += 1
    # 9 offsets, 100 expected each, standard deviation 9.4: five of them on either side.
    assert len(counts) == 9
    assert all(53 <= count <= 147 for count in counts.values())


def test_without_padding_and_flip_nothing_changes() -> None:
    images = noise(5, 3, 7, 4)
    assert torch.equal(augment(images, padding=0, flip=False), images)


def test_the_generator_alone_decides() -> None:
    images = noise(40, 1, 8, 8)
    first = augment(images, padding=2, flip=True, seed=1)
    torch.rand(3)  # the global stream has no say
    assert torch.equal(first, augment(images, padding=2, flip=True, seed=1))
    assert not torch.equal(first, augment(images, padding=2, flip=True, seed=2))


def test_flipping_does_not_move_the_crops() -> None:
    """Both settings make the same draws, so a comparison of them shares its crops."""
    images = noise(40, 1, 8, 8)
    straight, flipped = (augment(images, padding=2, flip=flip) for flip in (False, True))
    same = [torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(straight, flipped, strict=True)]
    assert all(same)
