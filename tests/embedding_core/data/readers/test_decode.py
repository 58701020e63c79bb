"""One image: every kind a file may be of, and how it is fitted to a square."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from embedding_core.data.readers.decode import MAX_PIXELS, decode_image, fit

Array = np.ndarray


def noise(h: int = 6, w: int = 9, c: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (h, w, c) if c > 1 else (h, w), dtype=np.uint8)


def encode(image: Image.Image | Array, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(encoded: bytes) -> Array:
    return np.asarray(decode_image(encoded))


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, body: bytes | None = None) -> bytes:
    """A PNG by hand, with what Pillow does not write; without a body it claims its size and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(body or b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def over_white(rgba: Array) -> Array:
    colour, alpha = rgba[..., :-1].astype(float), rgba[..., -1:] / 255
    return colour * alpha + 255 * (1 - alpha)


# What a pixel becomes


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_formats_without_loss_give_the_pixels_that_went_in(kind: str, channels: int) -> None:
    image = noise(c=channels)
    options = {"lossless": True} if kind == "WEBP" else {}
    got = pixels(encode(image, kind, **options))
    # WebP knows no grey.
    expected = np.repeat(image[..., None], 3, axis=2) if kind == "WEBP" and channels == 1 else image
    np.testing.assert_array_equal(got, expected)


def test_jpeg_gives_about_the_pixels_that_went_in() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(24))[..., None] * np.array([1, 2, 3])
    got = pixels(encode(smooth.astype(np.uint8), "JPEG", quality=95, subsampling=0))
    assert np.abs(got.astype(int) - smooth).max() <= 6
    assert pixels(encode(smooth[..., 0].astype(np.uint8), "JPEG")).ndim == 2


def test_black_and_white_is_grey() -> None:
    bits = noise(c=1) > 127
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(bits))), bits * np.uint8(255))


def test_a_palette_becomes_its_colours() -> None:
    palette = Image.fromarray(noise(c=1) % 4, "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    expected = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]])
    index = np.asarray(palette)
    np.testing.assert_array_equal(pixels(encode(palette)), expected[index])
    expected[2] = 255  # transparent, whatever its colour was
    np.testing.assert_array_equal(pixels(encode(palette, transparency=2)), expected[index])


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2)])
def test_transparent_pixels_lie_on_white(mode: str, channels: int) -> None:
    image = noise(c=channels)
    image[0, 0, -1], image[0, 1, -1] = 0, 255
    got = pixels(encode(Image.fromarray(image, mode)))
    expected = over_white(image)
    assert got.shape == (6, 9, 3) if mode == "RGBA" else (6, 9)
    assert np.abs(got.reshape(expected.shape) - expected).max() <= 1
    assert (got[0, 0] == 255).all()
    np.testing.assert_array_equal(got[0, 1], image[0, 1, :-1] if mode == "RGBA" else image[0, 1, 0])


def test_a_colour_declared_transparent_is_white() -> None:
    image = noise()
    image[2, 3] = image[4, 4] = (10, 20, 30)
    expected = image.copy()
    expected[2, 3] = expected[4, 4] = 255
    np.testing.assert_array_equal(pixels(encode(image, transparency=(10, 20, 30))), expected)


def test_cmyk_becomes_colour() -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :8, 0], inks[:, 8:, 3] = 255, 255
    got = pixels(encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=95))
    assert np.abs(got[:, :7].astype(int) - (0, 255, 255)).max() < 12  # cyan ink alone: no red
    assert got[:, 9:].max() < 12  # black


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(kind: str, orientation: int) -> None:
    """By the EXIF standard: which side of the scene the stored rows and columns begin at."""
    stored = np.kron(noise(3, 4), np.ones((16, 16, 1), np.uint8))  # blocks survive JPEG
    upright = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(stored),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    quality = {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    got = pixels(encode(stored, kind, exif=exif, **quality))
    assert got.shape == upright.shape
    assert np.abs(got.astype(int) - upright).mean() < 8


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    assert (pixels(encode(frames[0], "GIF", save_all=True, append_images=frames[1:])) == (255, 0, 0)).all()


def test_one_pixel() -> None:
    assert pixels(encode(np.array([[7]], np.uint8))).tolist() == [[7]]
    assert pixels(encode(np.array([[[1, 2, 3]]], np.uint8))).tolist() == [[[1, 2, 3]]]


# What is refused


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_a_channel_are_refused_in_grey_and_in_colour(colour: int, channels: int) -> None:
    row = b"\0" + np.arange(3 * channels, dtype=">u2").tobytes()
    with pytest.raises(ValueError, match="more than 8 bits a channel"):
        decode_image(png(3, 2, depth=16, colour=colour, body=row * 2))


def test_other_deep_images_are_refused() -> None:
    for deep in (np.zeros((2, 2), np.int32), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint16)):
        with pytest.raises(ValueError, match="more than 8 bits a channel"):
            decode_image(encode(deep, "TIFF"))


def test_a_bitmap_of_sixteen_bits_a_pixel_has_fewer_a_channel() -> None:
    header = b"BM" + struct.pack("<IHHI", 62, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 0, 4, 0, 0, 0, 0)
    assert pixels(header + struct.pack("<HH", 0x7C00, 0x001F)).tolist() == [[[255, 0, 0], [0, 0, 255]]]


@pytest.mark.parametrize("size", [(MAX_PIXELS, 1), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ValueError, match="pixels") as caught:
            decode_image(png(size[0] + 1, size[1]))
    assert "truncated" not in str(caught.value)


def test_the_largest_image_allowed_is_decoded_far_enough_to_see_that_nothing_is_there() -> None:
    with pytest.raises(ValueError, match=r"truncated|incomplete|broken"):
        decode_image(png(1000, 1000))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_cut_off_image_is_refused(kind: str) -> None:
    whole = encode(noise(40, 40), kind)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(ValueError, match=r"\w"):
            decode_image(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("encoded", [b"", b"\0" * 100, b"no image", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_image(encoded: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode_image(encoded)


def test_formats_that_run_programs_are_not_opened() -> None:
    eps = encode(noise(), "EPS")
    assert Image.open(io.BytesIO(eps)).format == "EPS"  # Pillow would
    with pytest.raises(ValueError, match="cannot identify its format"):
        decode_image(eps)


def test_pillows_leniency_must_be_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ValueError, match="LOAD_TRUNCATED_IMAGES is on"):
        decode_image(encode(noise()))


# Fitting


def resampled(values: Array, size: int) -> Array:
    """Bilinear and antialiased along the first axis: a triangle as wide as the coarser of the two grids."""
    positions = np.arange(len(values)) + 0.5
    scale = len(values) / size
    weights = [np.maximum(0, 1 - np.abs(positions - (i + 0.5) * scale) / max(scale, 1)) for i in range(size)]
    return np.stack([np.tensordot(weight / weight.sum(), values, axes=1) for weight in weights])


def median_of_border(image: Array) -> list[float]:
    h, w, c = image.shape
    border = [image[y, x] for y in range(h) for x in range(w) if y in (0, h - 1) or x in (0, w - 1)]
    return [float(np.median([pixel[i] for pixel in border])) for i in range(c)]


@pytest.mark.slow
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_fit_shows_the_whole_image_centred_on_the_median_of_its_border(
    h: int, w: int, side: int, channels: int, seed: int
) -> None:
    image = noise(h, w, channels, seed)
    got = np.asarray(fit(Image.fromarray(image), side)).reshape(side, side, channels)
    height, width = (max(1, round(edge * side / max(h, w))) for edge in (h, w))
    assert max(height, width) == side
    top, left = (side - height) // 2, (side - width) // 2
    shown = got[top : top + height, left : left + width]
    expected = resampled(resampled(image.reshape(h, w, channels), height).swapaxes(0, 1), width).swapaxes(0, 1)
    if (height, width) == (h, w):
        np.testing.assert_array_equal(shown, image.reshape(h, w, channels))
    else:
        assert np.abs(shown - expected).max() <= 1.01  # Pillow rounds between the two directions, and at the end
    around = np.ones((side, side), bool)
    around[top : top + height, left : left + width] = False
    assert np.abs(got[around] - np.array(median_of_border(shown))).max(initial=0) <= 0.5


def test_fit_leaves_a_square_of_that_size_alone() -> None:
    image = noise(12, 12)
    np.testing.assert_array_equal(np.asarray(fit(Image.fromarray(image), 12)), image)


def test_fit_keeps_a_thread_of_an_image() -> None:
    assert fit(Image.new("L", (5000, 1), 9), 8).size == (8, 8)
    assert fit(Image.new("RGB", (1, 5000), "red"), 8).getpixel((0, 0)) == (255, 0, 0)
