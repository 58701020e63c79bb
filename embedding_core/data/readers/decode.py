"""One encoded image -> one picture of 8 bits a channel, upright and opaque; and how a picture is fitted to a square."""

import io
import re
import struct

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Not all that Pillow knows: its EPS reader starts Ghostscript."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pbm", ".pgm", ".ppm")
"""Of files in these formats, in any case."""

EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV")

GREY_MODES = ("1", "L", "LA")

MAX_PIXELS = 89_478_485
"""Pillow warns of a decompression bomb from here on; an image beyond it is an error, before a pixel is decoded."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF orientation -> what turns such an image upright."""

NO_IMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises for bytes that are no image; of anything else its name is told too."""


def decode_image(encoded: bytes | memoryview) -> Image.Image:
    """Picture of mode `L` (grey) or `RGB`, turned upright by its EXIF orientation, on white where it is transparent.

    Nothing else that a file says of itself decides: a picture is its pixels, whatever its metadata are worth. CMYK and
    palettes become colour; of an animation the first frame counts. Damage that a format cannot notice, such as flipped
    bits inside a JPEG, stays unnoticed.

    Raises:
        ValueError: not an image of one of `FORMATS`, cut off, more than 8 bits a channel, or above `MAX_PIXELS`.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ValueError("Pillow's ImageFile.LOAD_TRUNCATED_IMAGES is on, which fills up cut-off images in silence")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"its {image.width}x{image.height} pixels are more than {MAX_PIXELS}")
        return _plain(eight_bit(image))
    except UnidentifiedImageError:
        # Pillow's own sentence names the address of a buffer.
        raise ValueError(f"cannot identify its format (known: {', '.join(FORMATS)})") from None
    except NO_IMAGE as error:
        raise ValueError(str(error)) from error
    except MemoryError:
        raise  # says nothing about the image
    except Exception as error:  # whatever a decoder stumbles over, the image is what is broken
        raise ValueError(f"{type(error).__name__}: {error}") from error


def eight_bit(image: Image.Image) -> Image.Image:
    """`image` as opened, unless it holds more than 8 bits a channel.

    They are refused, not scaled: a 16-bit camera seldom fills its range, and which part it fills the file does not
    say. (Pillow would turn such a grey image almost wholly white.)

    Raises:
        ValueError: more than 8 bits a channel.
    """
    # A colour image of 16 bits has an 8-bit mode in Pillow, which drops the lower half; its raw mode tells.
    raw_modes = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.mode not in EIGHT_BIT_MODES or re.search(";16[BLN]", raw_modes):
        raise ValueError(f"its mode {image.mode} has more than 8 bits a channel")
    return image


def _plain(image: Image.Image) -> Image.Image:
    mode = "L" if image.mode in GREY_MODES else "RGB"
    image.load()  # a PNG's EXIF may stand behind its pixels
    if (turn := _turn(image)) is not None:
        image = image.transpose(turn)
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return image if image.mode == mode else image.convert(mode)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What turns an image upright; None: it is, or its EXIF cannot be read."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - see `decode_image`
        return None
    return TURNS.get(orientation) if isinstance(orientation, int) else None


def fit(image: Image.Image, side: int) -> Image.Image:
    """Square of `side` pixels that shows the whole image, centred, its aspect ratio kept.

    The longer side becomes `side` (bilinear, antialiased); the rest takes the median colour of the image's border.
    Squashing would change the shape of what is shown, and cropping would lose some of it.

    Args:
        image: of mode `L` or `RGB`.
        side: in pixels, >= 1.
    """
    longer = max(image.size)
    width, height = (max(1, round(edge * side / longer)) for edge in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if width == height:
        return image
    square = Image.new(image.mode, (side, side), _border_colour(image))
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _border_colour(image: Image.Image) -> tuple[int, ...]:
    """Median per channel over the outermost pixels, each counted once."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    rows, columns = pixels[:: max(1, image.height - 1)], pixels[1:-1, :: max(1, image.width - 1)]
    channels = pixels.shape[2]
    border = np.concatenate([rows.reshape(-1, channels), columns.reshape(-1, channels)])
    ranked = np.sort(border, axis=0)  # as np.median would, without its overhead, which is that of decoding
    middle = ranked[(len(ranked) - 1) // 2 : len(ranked) // 2 + 1]
    return tuple(round(value) for value in middle.mean(axis=0).tolist())
