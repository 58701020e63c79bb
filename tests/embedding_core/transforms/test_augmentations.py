"""Crops and flips against the set of all windows of the padded image; the recipes against torchvision, image by image.

torchvision gets each image alone, with the parameters that were drawn for it, as float32 in [0, 1].
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import chisquare, ks_2samp
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from embedding_core.transforms import augmentations
from embedding_core.transforms.affine import Window, bounds, random_window, resized, turned, warp
from embedding_core.transforms.augmentations import (
    AUGMENTATIONS,
    BY_NAME,
    Changes,
    Draws,
    apply,
    augment,
    crop_and_flip,
)
from embedding_core.transforms.colour import colour_jitter, gaussian_blur, grey_copies, greyscale, has_colour

SHAPES = [(3, 32, 32), (3, 12, 20), (1, 9, 7), (3, 1, 1), (1, 1, 5), (3, 66, 70)]


def cropped(images: Tensor, *, padding: int, flip: bool, seed: int = 0) -> Tensor:
    return crop_and_flip(images, padding=padding, flip=flip, generator=torch.Generator().manual_seed(seed))


def changed(images: Tensor, recipe: str, *, flip: bool = True, strength: float = 1.0, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return augment(images, recipe, padding=2, flip=flip, strength=strength, generator=draws)


def drawn(recipe: str, n: int, h: int, w: int, *, flip: bool = True, strength: float = 1.0, seed: int = 0) -> Changes:
    return BY_NAME[recipe](Draws(n, h, w, flip, strength, torch.Generator().manual_seed(seed)))


def noise(n: int, c: int, h: int, w: int) -> Tensor:
    return torch.randint(0, 256, (n, c, h, w), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


def uniform(n: int, low: float, high: float, seed: int = 1) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(seed))


def each(images: Tensor, change: Callable[..., Tensor], *parameters: Tensor) -> Tensor:
    """`change` of every image alone, with its own parameters as Python numbers."""
    values = zip(*(p.tolist() for p in parameters), strict=True)
    return torch.stack([change(image, *own) for image, own in zip(images, values, strict=True)])


def close(got: Tensor, expected: Tensor, atol: float = 2e-6) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


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
def test_every_crop_is_a_window_of_its_own_image_or_its_mirror(c: int, h: int, w: int, flip: bool) -> None:
    images = noise(64, c, h, w)
    out = cropped(images, padding=2, flip=flip)
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


def test_each_image_of_a_batch_is_cropped_for_itself_and_offsets_are_uniform() -> None:
    image = noise(1, 1, 8, 8)
    out = cropped(image.expand(900, 1, 8, 8), padding=1, flip=False)
    offsets = windows(image[0], 1)
    counts = dict.fromkeys(offsets.values(), 0)
    for result in out:
        counts[offsets[result.contiguous().numpy().tobytes()]] += 1
    assert len(counts) == 9
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_without_padding_and_flip_no_crop_changes_anything() -> None:
    images = noise(5, 3, 7, 4)
    assert torch.equal(cropped(images, padding=0, flip=False), images)


def test_flipping_does_not_move_the_crops() -> None:
    """Both settings make the same draws, so a comparison of them shares its crops."""
    images = noise(40, 1, 8, 8)
    straight, flipped = (cropped(images, padding=2, flip=flip) for flip in (False, True))
    same = [torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(straight, flipped, strict=True)]
    assert all(same)


# Pixels: brightness, contrast, saturation, hue, grey, blur.

NEUTRAL = (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("column", "low", "high", "peer"),
    [
        (0, 0.0, 2.0, V.adjust_brightness),
        (1, 0.0, 2.0, V.adjust_contrast),
        (2, 0.0, 2.0, V.adjust_saturation),
        (3, -0.5, 0.5, V.adjust_hue),
    ],
)
@pytest.mark.parametrize("c", [1, 3])
def test_each_colour_factor_does_what_torchvision_does(
    column: int, low: float, high: float, peer: Callable[..., Tensor], c: int
) -> None:
    x = noise(20, c, 9, 13) / 255
    x[0], x[1], x[2] = 0.0, 1.0, 0.5  # no hue at all
    x[3] = (x[3] * 2).round() / 2  # ties between the channels
    own = uniform(20, low, high)
    factors = torch.tensor(NEUTRAL).repeat(20, 1)
    factors[:, column] = own
    close(colour_jitter(x, factors), each(x, peer, own))


def test_colour_factors_act_in_the_stated_order() -> None:
    x = noise(20, 3, 9, 13) / 255
    factors = torch.stack([uniform(20, *r, seed=i) for i, r in enumerate([(0.2, 1.8)] * 3 + [(-0.5, 0.5)])], dim=1)

    def one_after_the_other(image: Tensor, brightness: float, contrast: float, saturation: float, hue: float) -> Tensor:
        image = V.adjust_contrast(V.adjust_brightness(image, brightness), contrast)
        return V.adjust_hue(V.adjust_saturation(image, saturation), hue)

    close(colour_jitter(x, factors), each(x, one_after_the_other, *factors.T), atol=5e-6)


def test_a_hue_turned_full_circle_comes_back_and_keeps_value_and_chroma() -> None:
    x = noise(8, 3, 5, 5) / 255
    for shift in (-1.0, 0.0, 1.0, 2.0):
        close(colour_jitter(x, torch.tensor([1, 1, 1, shift]).repeat(8, 1)), x)
    third = colour_jitter(x, torch.tensor([1, 1, 1, 1 / 3]).repeat(8, 1))
    close(third, x.roll(1, dims=1))  # red becomes green, green blue, blue red


def test_grey_goes_where_it_is_asked_to() -> None:
    x = noise(6, 3, 5, 4) / 255
    where = torch.tensor([True, False, True, True, False, False])
    out = greyscale(x, where)
    close(out[where], V.rgb_to_grayscale(x[where], num_output_channels=3))
    assert torch.equal(out[~where], x[~where])
    assert torch.equal(greyscale(x[:, :1], where), x[:, :1])


def test_grey_copies_are_pillows_luma_in_every_channel() -> None:
    images = torch.randint(0, 256, (4, 3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[0], images[1] = 255, 0
    grey = grey_copies(images)
    assert grey.dtype == torch.uint8
    for image, copy in zip(images, grey, strict=True):
        luma = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"), dtype=int)
        assert np.abs(copy.numpy().astype(int) - luma).max() <= 1  # it works in integers
    assert grey[:2].flatten(1).unique(dim=1).tolist() == [[255], [0]]
    assert [has_colour(of) for of in (images, grey, images[:, :1])] == [True, False, False]
    grey[3, 1, 0, 0] ^= 1
    assert has_colour(grey)


@pytest.mark.parametrize(("h", "w", "taps"), [(8, 8, 3), (32, 40, 3), (96, 64, 7), (224, 224, 23), (2, 9, 3)])
def test_blur_is_torchvisions_with_a_kernel_a_tenth_of_the_shorter_side(h: int, w: int, taps: int) -> None:
    x = noise(4, 3, h, w) / 255
    sigma = uniform(4, 0.1, 2.0)

    def peer(image: Tensor, own: float) -> Tensor:
        return V.gaussian_blur(image, [taps, taps], [own, own])

    close(gaussian_blur(x, sigma), each(x, peer, sigma))


def test_no_blur_at_width_zero_nor_on_a_row_of_pixels() -> None:
    x = noise(3, 3, 32, 32) / 255
    close(gaussian_blur(x, torch.zeros(3)), x)
    close(gaussian_blur(x[:, :, :1], torch.full((3,), 2.0)), x[:, :, :1])


# Places: turns, zooms, windows.


@pytest.mark.parametrize(("h", "w"), [(16, 16), (12, 20), (21, 8)])
@pytest.mark.parametrize("mirror", [False, True])
def test_turns_and_zooms_are_torchvisions_of_the_mirrored_continuation(h: int, w: int, mirror: bool) -> None:
    x = noise(12, 3, h, w) / 255
    degrees, zoom = uniform(12, -60, 60), uniform(12, 1, 1.5, seed=2)

    def peer(image: Tensor, angle: float, scale: float) -> Tensor:
        wide = V.pad(image, [w, h], padding_mode="symmetric")
        wide = V.affine(wide, angle, [0, 0], scale, [0, 0], interpolation=InterpolationMode.BILINEAR)
        out = V.center_crop(wide, [h, w])
        return V.horizontal_flip(out) if mirror else out

    # torchvision's affine turns clockwise, its rotate (and ours) the other way round.
    source = turned(degrees, zoom, torch.full((12,), mirror), h=h, w=w)
    close(warp(x, source), each(x, peer, -degrees, zoom), atol=5e-5)


def test_a_positive_angle_turns_as_torchvisions_rotate_does() -> None:
    x = noise(6, 1, 15, 15) / 255
    degrees = uniform(6, -20, 20)
    out = warp(x, turned(degrees, torch.ones(6), torch.zeros(6, dtype=torch.bool), h=15, w=15))

    def peer(image: Tensor, angle: float) -> Tensor:
        return V.rotate(image, angle, interpolation=InterpolationMode.BILINEAR)

    inside = (..., slice(4, 11), slice(4, 11))  # away from the corners that torchvision fills with black
    close(out[inside], each(x, peer, degrees)[inside], atol=2e-5)


@pytest.mark.parametrize(("h", "w"), [(32, 32), (12, 20), (30, 7), (1, 1)])
def test_resized_windows_are_torchvisions(h: int, w: int) -> None:
    x = noise(60, 3, h, w) / 255
    window = random_window(60, h, w, scale=(0.08, 1.0), generator=torch.Generator().manual_seed(3))
    mirrored = uniform(60, 0, 1) < 0.5

    def peer(image: Tensor, top: float, left: float, height: float, width: float, mirror: bool) -> Tensor:
        out = V.resized_crop(image, int(top), int(left), int(height), int(width), [h, w], antialias=True)
        return V.horizontal_flip(out) if mirror else out

    out = warp(x, resized(window, mirrored, h=h, w=w), bounds(window, h=h, w=w))
    close(out, each(x, peer, *window, mirrored), atol=5e-5)


@pytest.mark.parametrize(("h", "w"), [(32, 32), (24, 40), (60, 9), (9, 60)])
@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.5, 1.0)])
def test_windows_follow_torchvisions_law(h: int, w: int, scale: tuple[float, float]) -> None:
    n = 1500
    ours = torch.stack(random_window(n, h, w, scale=scale, generator=torch.Generator().manual_seed(4)))
    transform = v2.RandomResizedCrop((h, w), scale=scale)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [transform.make_params([torch.empty(3, h, w)]) for _ in range(n)]
    for own, key in zip(ours, ("top", "left", "height", "width"), strict=True):
        assert ks_2samp(own.numpy(), [p[key] for p in theirs]).pvalue > 1e-3
    top, left, height, width = ours
    assert torch.equal(ours, ours.round())
    assert bool(((top >= 0) & (left >= 0) & (height >= 1) & (width >= 1)).all())
    assert bool(((top + height <= h) & (left + width <= w)).all())


# Recipes.


@pytest.mark.parametrize("recipe", AUGMENTATIONS)
@pytest.mark.parametrize(("c", "h", "w"), SHAPES)
def test_every_recipe_keeps_shape_and_type_and_follows_its_generator_alone(recipe: str, c: int, h: int, w: int) -> None:
    images = noise(9, c, h, w)
    first = changed(images, recipe, seed=1)
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    torch.rand(3)  # the global stream has no say
    assert torch.equal(first, changed(images, recipe, seed=1))
    if recipe != "none" and h > 1:
        assert not torch.equal(first, changed(images, recipe, seed=2))


@pytest.mark.parametrize("recipe", AUGMENTATIONS)
def test_a_row_depends_neither_on_the_other_images_nor_on_blocks(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(40, 3, 16, 20)
    others = images.flip(0)
    others[7] = images[7]
    out = changed(images, recipe)
    assert torch.equal(changed(others, recipe)[7], out[7])
    monkeypatch.setattr(augmentations, "CPU_BLOCK", 7 * 3 * 16 * 20)
    assert torch.equal(changed(images, recipe), out)


@pytest.mark.parametrize("recipe", BY_NAME)
def test_copies_of_one_image_come_out_different(recipe: str) -> None:
    out = changed(noise(1, 3, 32, 32).expand(200, 3, 32, 32), recipe)
    # simclr nearly always crops; a picked flip or grey may leave an image of study 4 as it is.
    assert len(out.flatten(1).unique(dim=0)) >= {"study4_strong": 120, "study4_weak": 170}.get(recipe, 200)


@pytest.mark.parametrize("recipe", AUGMENTATIONS)
@pytest.mark.parametrize("flip", [True, False])
def test_draws_do_not_depend_on_pixels_flip_or_strength(recipe: str, flip: bool) -> None:
    def state_after(images: Tensor, flip: bool, strength: float) -> Tensor:
        draws = torch.Generator().manual_seed(0)
        augment(images, recipe, padding=2, flip=flip, strength=strength, generator=draws)
        return draws.get_state()

    reference = state_after(noise(20, 3, 8, 8), True, 1.0)
    assert torch.equal(state_after(torch.zeros(20, 3, 8, 8, dtype=torch.uint8), flip, 0.0), reference)


@pytest.mark.parametrize("recipe", [r for r in AUGMENTATIONS if r != "none"])
def test_nothing_is_mirrored_unless_allowed(recipe: str) -> None:
    """Of a picture that is dark on its left, no other change makes the right side the darker one."""
    ramp = torch.linspace(40, 200, 32).to(torch.uint8).expand(400, 3, 32, 32)
    right = lambda out: out[..., 20:28].float().mean((1, 2, 3)) - out[..., 4:12].float().mean((1, 2, 3))  # noqa: E731
    turned_round = {flip: (right(changed(ramp, recipe, flip=flip)) < 0).float().mean() for flip in (True, False)}
    assert turned_round[False] == 0
    rate = {"study4_weak": 0.25, "study4_strong": 0.2}.get(recipe, 0.5)
    # Four standard deviations of a mean of 400 coins.
    assert abs(turned_round[True] - rate) < 4 * (rate * (1 - rate) / 400) ** 0.5


def test_nothing_drawn_changes_nothing() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(3, 12).reshape(1, 3, 48, 64).expand(5, 3, 48, 64)
    one, no = torch.ones(5), torch.zeros(5, dtype=torch.bool)
    whole = Window(0 * one, 0 * one, 48 * one, 64 * one)
    neutral = Changes(jitter=torch.tensor(NEUTRAL).repeat(5, 1), grey=no, sigma=0 * one)
    for source, limits in (
        (turned(0 * one, one, no, h=48, w=64), None),
        (resized(whole, no, h=48, w=64), bounds(whole, h=48, w=64)),
    ):
        assert torch.equal(apply(images, neutral._replace(source=source, limits=limits)), images)


def test_rounding_is_to_the_nearest_level_and_never_wraps() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(3, 1, 16, 16)
    factors = torch.tensor([[0.3337, 1, 1, 0], [1.0, 1, 1, 0], [3.0, 1, 1, 0]])
    expected = (images.double() * factors[:, 0].double()[:, None, None, None]).round().clamp(0, 255)
    assert torch.equal(apply(images, Changes(jitter=factors)), expected.to(torch.uint8))


def test_strength_scales_the_jitter_and_nothing_else() -> None:
    for recipe in BY_NAME:
        off, on, double = (drawn(recipe, 500, 96, 96, strength=s) for s in (0.0, 0.5, 1.0))
        assert off.jitter is not None
        assert on.jitter is not None
        assert double.jitter is not None
        neutral = torch.tensor(NEUTRAL)
        assert torch.equal(off.jitter, neutral.expand(500, 4))
        close(2 * (on.jitter - neutral), double.jitter - neutral)
        for a, b in zip(off._replace(jitter=None), double._replace(jitter=None), strict=True):
            assert (a is None and b is None) or torch.equal(a, b)


def test_affine_stays_within_its_ranges() -> None:
    changes = drawn("affine", 4000, 20, 20, strength=1.0)
    assert changes.source is not None
    assert changes.jitter is not None
    linear = changes.source[:, :, :2]
    zoom = linear.det().abs().rsqrt()
    degrees = torch.atan2(linear[:, 1, 0] * linear.det().sign(), linear[:, 1, 1]).rad2deg()
    for values, low, high in (
        (zoom, 1.0, 1.1),
        (degrees, -10.0, 10.0),
        (changes.jitter[:, 0], 0.8, 1.2),
        (changes.jitter[:, 1], 0.8, 1.2),
    ):
        counts = torch.histc(values, bins=10, min=low, max=high)
        assert counts.sum() >= 3998  # but for rounding at the ends
        assert chisquare(counts.numpy()).pvalue > 1e-3
    assert torch.equal(changes.jitter[:, 2:], torch.tensor([1.0, 0.0]).expand(4000, 2))
    assert changes.grey is None
    assert changes.sigma is None


def test_simclr_draws_by_the_paper() -> None:
    n = 4000
    changes = drawn("simclr", n, 96, 96)
    assert changes.jitter is not None
    assert changes.grey is not None
    assert changes.sigma is not None
    recoloured = (changes.jitter != torch.tensor(NEUTRAL)).any(dim=1)
    blurred = changes.sigma > 0
    for happened, probability in ((recoloured, 0.8), (changes.grey, 0.2), (blurred, 0.5)):
        assert abs(happened.float().mean() - probability) < 4 * (probability * (1 - probability) / n) ** 0.5
    for values, low, high in (
        (changes.jitter[recoloured, 0], 0.2, 1.8),
        (changes.jitter[recoloured, 1], 0.2, 1.8),
        (changes.jitter[recoloured, 2], 0.2, 1.8),
        (changes.jitter[recoloured, 3], -0.2, 0.2),
        (changes.sigma[blurred], 0.1, 2.0),
    ):
        assert chisquare(torch.histc(values, bins=10, min=low, max=high).numpy()).pvalue > 1e-3
    assert drawn("simclr", 5, 63, 96).sigma is None


@pytest.mark.parametrize(("recipe", "listed"), [("study4_weak", 4), ("study4_strong", 5)])
@pytest.mark.parametrize("flip", [True, False])
def test_study_4_picks_every_pair_of_its_list_equally_often(recipe: str, listed: int, flip: bool) -> None:
    n = 3000
    picks = Draws(n, 8, 8, flip, 1.0, torch.Generator().manual_seed(0)).two_of((flip, *[True] * (listed - 1)))
    assert torch.equal(picks.sum(dim=0), torch.full((n,), 2))
    pairs = (picks.long() * 2 ** torch.arange(listed)[:, None]).sum(dim=0).unique(return_counts=True)[1]
    free = listed if flip else listed - 1
    assert len(pairs) == free * (free - 1) // 2
    assert chisquare(pairs.numpy()).pvalue > 1e-3
    assert bool(picks[0].any()) == flip


@pytest.mark.parametrize(("recipe", "share"), [("study4_weak", 2 / 4), ("study4_strong", 2 / 5)])
def test_study_4_does_what_it_picked_and_no_more(recipe: str, share: float) -> None:
    n, h, w = 4000, 16, 16
    changes = drawn(recipe, n, h, w)
    assert changes.source is not None
    assert changes.jitter is not None
    assert changes.sigma is not None
    linear = changes.source[:, :, :2].abs()
    moved = (linear - torch.eye(2)).abs().amax(dim=(1, 2)) > 1e-6
    mirrored = changes.source[:, 0, 0] < 0
    recoloured = (changes.jitter != torch.tensor(NEUTRAL)).any(dim=1)
    blurred = changes.sigma > 0
    together = mirrored.int() + moved.int() + recoloured.int() + blurred.int()
    happened = [(mirrored, share / 2), (recoloured, share), (blurred, share)]
    if changes.grey is not None:
        together = together + changes.grey.int()
        happened.append((changes.grey, share / 5))
    else:
        happened.append((moved, share))
    assert together.max() == 2
    for which, probability in happened:
        assert abs(which.float().mean() - probability) < 4 * (probability * (1 - probability) / n) ** 0.5


@pytest.mark.parametrize("recipe", BY_NAME)
def test_grey_sets_have_no_hue_and_stay_one_channel(recipe: str) -> None:
    """A grey image comes out as every channel of its copy in three equal ones does."""
    grey = noise(30, 1, 20, 20)
    three = changed(grey.expand(30, 3, 20, 20), recipe)
    difference = changed(grey, recipe).int() - three.int()
    assert difference.abs().max() <= 1  # the digits of the luma add up to .9999


@pytest.mark.parametrize("recipe", AUGMENTATIONS)
def test_no_step_needs_a_value_on_the_host(recipe: str) -> None:
    """Tensors without data: any look at a value, or a shape that depends on one, raises."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(4, 3, 64, 64, dtype=torch.uint8)
        assert changed(images, recipe).shape == images.shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("recipe", AUGMENTATIONS)
def test_nothing_waits_for_the_gpu(recipe: str) -> None:
    images = noise(64, 3, 64, 64).cuda()
    draws = torch.Generator("cuda").manual_seed(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = augment(images, recipe, padding=4, flip=True, strength=1.0, generator=draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert out.is_cuda


def test_an_unknown_recipe_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown augmentation `simcrl`\. Did you mean `simclr`\?"):
        changed(noise(1, 1, 4, 4), "simcrl")
