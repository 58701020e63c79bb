"""Whatever lies in the files: images, or one clear error that names the rows; no other exception, and no crash."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from embedding_core.data.image_sets import load
from embedding_core.data.readers.decode import decode_image
from embedding_core.data.readers.sentences import MAX_FAULTS
from embedding_core.errors import Faults

WriteSet = Callable[..., Path]

# A bomb of less than twice the size that Pillow allows is warned of before it is refused; some damage as well.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:.*:UserWarning")


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(size: tuple[int, int] = (20, 24), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


def told(name: str, root: Path) -> list[str]:
    """The faults of a set; none if it loads."""
    try:
        data = load(name, root)
    except Faults as faults:
        return list(faults.faults)
    assert len(data.images) == len(data.labels)
    return []


def why_not(encoded: bytes) -> str | None:
    """Why this is no image; None if it is one."""
    try:
        image = decode_image(encoded)
    except ValueError as error:
        return str(error)
    assert image.mode in ("L", "RGB")
    assert np.asarray(image).dtype == np.uint8
    return None


# One of each kind, in a set

ACCEPTED = {
    "JPEG": encode(picture(), "JPEG"),
    "grey PNG": encode(picture(mode="L")),
    "palette PNG": encode(picture(mode="P")),
    "palette PNG with a transparent colour": encode(picture(mode="P"), transparency=3),
    "PNG with an alpha channel": encode(picture(mode="RGBA")),
    "CMYK JPEG": encode(picture(mode="CMYK"), "JPEG"),
    "JPEG to be turned": encode(picture((24, 20)), "JPEG", exif=turned()),
    "PNG to be turned": encode(picture((24, 20)), exif=turned()),
    "progressive JPEG": encode(picture(), "JPEG", progressive=True),
}

REFUSED = {
    "no bytes": (None, "no bytes"),
    "empty": (b"", "cannot identify its format"),
    "text": (b"<svg></svg>", "cannot identify its format"),
    "cut off JPEG": (ACCEPTED["JPEG"][:-200], "truncated"),
    "cut off PNG": (encode(picture())[:-200], "truncated"),
    "16-bit grey PNG": (encode(Image.new("I;16", (20, 24))), "its mode I;16 has more than 8 bits a channel"),
    "32-bit TIFF": (encode(Image.new("F", (20, 24)), "TIFF"), "its mode F has more than 8 bits a channel"),
    "EPS, a program": (encode(picture(), "EPS"), "cannot identify its format"),
    "bomb": (encode(Image.new("1", (9500, 9500))), "its 9500x9500 pixels are more than 89478485"),
    "larger bomb": (encode(Image.new("1", (13500, 13500))), "decompression bomb"),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_set_of_each_kind_that_is_accepted(write_set: WriteSet, tmp_path: Path, kind: str) -> None:
    write_set([ACCEPTED[kind], encode(picture())], [0, 1])
    data = load("mine", tmp_path)
    assert data.images.shape == (2, 3, 24, 20)
    assert not data.broken


@pytest.mark.parametrize("kind", REFUSED)
def test_a_row_of_each_kind_that_is_refused_is_named(write_set: WriteSet, tmp_path: Path, kind: str) -> None:
    encoded, why = REFUSED[kind]
    file = write_set([encode(picture()), encoded, encode(picture())], [0, 0, 1])
    with pytest.raises(Faults) as caught:
        load("mine", tmp_path)
    message, remedy = caught.value.faults
    assert message.startswith(f"{file}: row 1 is not an image: ")
    assert why in message
    assert "--skip-broken" in remedy
    without = load("mine", tmp_path, skip_broken=True)
    assert (without.labels.tolist(), without.broken) == ([0, 1], (message,))


def test_all_of_them_at_once(write_set: WriteSet, tmp_path: Path) -> None:
    rows = [encode(picture()), *(encoded for encoded, _ in REFUSED.values())]
    write_set(rows, [0] * (len(rows) - 1) + [-1])
    with pytest.raises(Faults) as caught:
        load("mine", tmp_path)
    messages = str(caught.value).splitlines()
    assert "1 label lies outside the 1 class; the first is -1 in row 10" in messages[0]
    assert [f"row {i} is not an image" in messages[i] for i in range(1, MAX_FAULTS + 1)] == [True] * MAX_FAULTS
    assert messages[MAX_FAULTS + 1].count(f"{len(REFUSED) - MAX_FAULTS} more rows are not images; all are listed in ")
    assert len(messages) == MAX_FAULTS + 2


def test_an_image_of_one_pixel(write_set: WriteSet, tmp_path: Path) -> None:
    write_set([encode(Image.new("RGB", (1, 1), (7, 8, 9)))] * 2, [0, 1])
    assert load("mine", tmp_path).images.tolist() == [[[[7]], [[8]], [[9]]]] * 2
    assert load("mine", tmp_path, image_size=5).images[:, 1].unique().tolist() == [8]


def test_rows_without_a_struct_and_images_without_a_label(tmp_path: Path, cache: Path) -> None:
    good = {"bytes": encode(picture()), "path": "a.png"}
    file = tmp_path / "mine" / "train.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"image": [good, None, good], "label": [0, 1, 1]}), file)
    with pytest.raises(Faults, match="row 1 is not an image: no bytes"):
        load("mine", tmp_path)
    pq.write_table(pa.table({"image": [good, good], "label": pa.array([None, 1], pa.int64())}), file)
    with pytest.raises(Faults, match="1 row has no label"):
        load("mine", tmp_path)


# Fuzzed

Edit = tuple[str, float, bytes]


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of `originals`, cut off, overwritten, filled up or thinned out at up to eight places."""
    data = bytearray(draw(st.sampled_from(originals)))
    # Headers and footers decide more than what lies between.
    place = st.one_of(st.integers(0, 64), st.integers(-300, -1), st.integers(0, len(data)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(place) % (len(data) + 1)
        match draw(st.sampled_from(["overwrite", "overwrite", "overwrite", "insert", "delete", "cut"])):
            case "overwrite":
                new = draw(st.binary(min_size=1, max_size=4))
                data[at : at + len(new)] = new
            case "insert":
                data[at:at] = draw(st.binary(max_size=8))
            case "delete":
                del data[at : at + draw(st.integers(1, 8))]
            case "cut":
                del data[at:]
    return bytes(data)


IMAGES = [
    *ACCEPTED.values(),
    *(encode(picture(), kind) for kind in ("GIF", "BMP", "WEBP", "TIFF", "PPM")),
    encode(picture(), "TIFF", compression="tiff_lzw"),
    encode(picture(mode="1"), "TIFF", compression="group4"),
    encode(picture(), "GIF", save_all=True, append_images=[picture()]),
]

in_files = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.large_base_example]
)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.large_base_example])
@given(damaged(IMAGES))
def test_damaged_images_are_images_or_told(encoded: bytes) -> None:
    assert why_not(encoded) != ""


@pytest.mark.slow
@in_files
@given(st.lists(damaged(IMAGES), min_size=1, max_size=10))
def test_sets_of_damaged_images_load_or_name_the_broken_rows(
    write_set: WriteSet, tmp_path: Path, encoded: list[bytes]
) -> None:
    reasons = [*map(why_not, encoded), None]
    file = write_set([*encoded, encode(picture())], [0] * len(reasons))
    broken = [f"{file}: row {row} is not an image: {why}." for row, why in enumerate(reasons) if why]
    assert [*load("mine", tmp_path, skip_broken=True).broken] == broken
    faults = told("mine", tmp_path)
    assert faults[:-1][:MAX_FAULTS] == broken[:MAX_FAULTS]
    assert len(faults) == (min(len(broken), MAX_FAULTS + 1) + 1 if broken else 0)


def parquet(**options: object) -> bytes:
    rows = [{"bytes": encode(picture((4, 4))), "path": f"{i}.png"} for i in range(4)]
    table = pa.table({"image": rows, "label": [0, 1, 0, 1]})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"class_names": '["cat", "dog"]'}), sink, **options)
    return sink.getvalue()


@in_files
@given(damaged([parquet(), parquet(compression="none", row_group_size=2), parquet(use_dictionary=False)]))
def test_damaged_parquet_loads_or_is_told(tmp_path: Path, cache: Path, content: bytes) -> None:
    file = tmp_path / "mine" / "train.parquet"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    assert all(str(file) in fault or fault.startswith("Images of `mine` that") for fault in told("mine", tmp_path))
