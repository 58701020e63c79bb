"""Data as nobody would make them: read as they are, or refused in a sentence; nothing else, and nothing unsaid.

`python benchmarks/fuzz_data.py --part exif|labels|trees [--inputs 1000] [--seed 0]` draws EXIF blocks, tables with
label columns, or trees of folders, reads each as a data set, and prints how many ended in a traceback, hung, or
were read otherwise than an oracle says that knows how they were made (silent guesses). Exits with 1 if
any did.
"""

import argparse
import io
import os
import signal
import struct
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from embedding_core.data.image_sets import ImageSet, load, told
from embedding_core.data.readers.decode import SUFFIXES, decode_image
from embedding_core.data.readers.listing import NOT_THE_USERS
from embedding_core.errors import Faults

HANGS_CPU_S, HANGS_S = 10, 120
"""Seconds of the processor, and of the clock, after which an input counts as a hang; a busy machine is none."""

ALARMS = ((signal.SIGPROF, signal.ITIMER_PROF, HANGS_CPU_S), (signal.SIGALRM, signal.ITIMER_REAL, HANGS_S))

UPRIGHT = {1: 0, 3: 2, 6: 3, 8: 1}
"""EXIF orientation -> quarter turns to the left that undo it."""

Exif = tuple[int, str, str, list[tuple[int, int, int, bytes]]]
"""Orientation, byte order, format, other entries (tag, type, count, data)."""


# EXIF blocks


@st.composite
def exif_blocks(draw: st.DrawFn) -> Exif:
    """An orientation among tags of cameras and editors, and others, each of any type and count."""
    tags = st.one_of(st.sampled_from([270, 271, 282, 283, 296, 305, 306, 315, 0x9204, 0xA002, 0x927C]),
                     st.integers(0, 65535))  # fmt: skip
    entries = []
    for tag in draw(st.lists(tags, max_size=8, unique=True)):
        kind, count = draw(st.integers(1, 13)), draw(st.integers(0, 3))
        size = count * {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}.get(kind, 1)
        if tag not in (0, 274, 0x8769, 0x8825):
            entries.append((tag, kind, count, draw(st.binary(min_size=size, max_size=size))))
    formats = st.sampled_from(["PNG", "WEBP", "TIFF-like JPEG"])
    return draw(st.sampled_from([*UPRIGHT])), draw(st.sampled_from("<>")), draw(formats), entries


def check_exif(drawn: Exif, place: Path) -> None:
    """The picture is its pixels, upright."""
    orientation, order, kind, entries = drawn
    entries = sorted([*entries, (274, 3, 1, struct.pack(f"{order}H", orientation))])
    head, tail, at = struct.pack(f"{order}H", len(entries)), b"", 8 + 2 + 12 * len(entries) + 4
    for tag, field, count, data in entries:
        value = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(f"{order}I", at + len(tail))
        head, tail = head + struct.pack(f"{order}HHI", tag, field, count) + value, tail + data * (len(data) > 4)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    block = b"Exif\0\0" + mark + struct.pack(f"{order}I", 8) + head + struct.pack(f"{order}I", 0) + tail
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 3), np.uint8)
    plain, tagged = io.BytesIO(), io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    for stream, exif in ((plain, b""), (tagged, block)):
        Image.fromarray(pixels).save(stream, "JPEG" if kind.endswith("JPEG") else kind, exif=exif, **options)
    expected = np.rot90(np.asarray(decode_image(plain.getvalue())), UPRIGHT[orientation])
    assert np.array_equal(np.asarray(decode_image(tagged.getvalue())), expected), "not upright"


# Label columns

Columns = tuple[dict[str, pa.Array], dict[str, list[Any]]]
"""Columns beside the images, and the values of each."""


@st.composite
def label_columns(draw: st.DrawFn) -> Columns:
    """One to three columns of numbers, text, categories or what else tables hold, some with gaps."""
    n = draw(st.integers(1, 8))
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    kinds: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
        *((kind, st.integers(0, 9)) for kind in (pa.int8(), pa.uint16(), pa.int64(), pa.uint64())),
        (pa.int64(), st.integers(-3, 2_000_000)), (pa.float64(), st.floats(allow_nan=True)),
        (pa.bool_(), st.booleans()),
        *((kind, text) for kind in (pa.string(), pa.large_string(), pa.string_view())),
        (pa.dictionary(pa.int8(), pa.string()), text), (pa.dictionary(pa.int32(), pa.int64()), st.integers(0, 9)),
        (pa.binary(), st.binary(max_size=3)), (pa.list_(pa.int64()), st.lists(st.integers(0, 3), max_size=2)),
        (pa.decimal128(5), st.integers(0, 9)), (pa.date32(), st.integers(0, 9)), (pa.null(), st.none()),
    ]  # fmt: skip
    names = st.sampled_from([*["label"] * 6, "labels", "fine_label", "coarse_label", "Label", "class", "target", "id"])
    columns, values = {}, {}
    for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        kind, each = draw(st.sampled_from(kinds))
        gaps = draw(st.sampled_from([False, False, False, True]))
        values[name] = draw(st.lists(st.one_of(st.none(), each) if gaps else each, min_size=n, max_size=n))
        columns[name] = pa.array(values[name], kind)
    return columns, values


def check_labels(drawn: Columns, place: Path) -> None:
    """Every row is there under a class of its own value, and the column that was taken is named, or all is refused."""
    columns, values = drawn
    rows = len(next(iter(values.values())))
    images = []
    for row in range(rows):
        stream = io.BytesIO()
        Image.new("L", (3, 3), row * 20).save(stream, "PNG")
        images.append({"bytes": stream.getvalue(), "path": None})
    (place / "set").mkdir()
    pq.write_table(pa.table({"image": images, **columns}), place / "set" / "train.parquet")
    found, line = load("set", place), told("set", place)
    used, _, over = line.partition("; passed over: ")
    taken = used.rpartition(", columns image and ")[2]
    assert {f"column {name}" for name in columns if name != taken} == {*over.split(", ")} - {""}, "a column unsaid"
    assert found.images[:, 0, 0, 0].tolist() == [row * 20 for row in range(rows)], "rows"
    assert [found.name_of(label) for label in found.labels.tolist()] == [str(value) for value in values[taken]], "names"


# Trees of folders

Tree = dict[str, str]
"""Path -> `image`, `broken` or `other`."""


@st.composite
def folder_trees(draw: st.DrawFn) -> Tree:
    """Files at up to four folders' depth, with the names of splits and classes, of archives, and none in particular."""
    splits = ["train", "Training", "seg_train", "test", "Testing", "val", "valid", "dev"]
    classes = ["cat", "dog", "owl", "train set of toys", "Test"]
    folder = st.sampled_from([*splits, *classes, *classes, *NOT_THE_USERS[:1], ".hidden", "a b", "ü"])
    name = st.sampled_from(["1.png", "2.PNG", "3.jfif", "4.png", "5.tif", "._1.png", "notes.txt", "x.heic", "none"])
    whole = st.sampled_from(["image"] * 19 + ["broken"])
    tree: Tree = {}
    for base in draw(st.lists(st.sampled_from(["", *splits]), min_size=1, max_size=3, unique=True)):
        for one in draw(st.lists(folder, min_size=1, max_size=4, unique=True)):
            for file in draw(st.lists(name, min_size=1, max_size=4, unique=True)):
                deeper = draw(st.sampled_from(["", "", "", "", "sub"]))
                tree["/".join(part for part in (base, one, deeper, file) if part)] = draw(whole)
    for file in draw(st.lists(st.sampled_from(["loose.png", "train/loose.png", "README.txt"]), max_size=2)):
        tree[file] = draw(whole)
    return tree


def check_trees(drawn: Tree, place: Path) -> None:
    """Every image of the user's is read, under the folder that it is in, or said to be broken or passed over."""
    shade: dict[str, int] = {}
    for path, state in drawn.items():
        file = place / "set" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not path.lower().endswith(SUFFIXES):
            file.touch()
            continue
        shade[path] = len(shade)
        Image.new("L", (3, 3), shade[path]).save(file, "TIFF")  # formats are known by content
        if state == "broken":
            file.write_bytes(b"broken")
    name = f"folder:{place / 'set'}"
    broken = {path for path in shade if drawn[path] == "broken"}
    parts = [load(name, skip_broken=True)]
    line = told(name)
    if " test image" in line:
        parts.append(load(name, split="test", skip_broken=True))
    sentences = {sentence for part in parts for sentence in part.broken}
    _check_read(parts, shade)
    read = {path for part in parts for path in shade if shade[path] in part.images[:, 0, 0, 0].tolist()}
    over = line.partition("passed over: ")[2].split(", ")
    loose = 0
    for path in shade.keys() - read:
        folders = Path(path).parent.parts
        if path in broken and any(str(place / "set" / path) in sentence for sentence in sentences):
            continue
        if any(part.startswith(".") or part in NOT_THE_USERS for part in (*folders, Path(path).name)):
            continue
        if folders and folders[0] in over:
            continue
        loose += 1
    said = next((int(part.split()[0]) for part in over if part.endswith(" beside the class folders")), 0)
    assert loose == said, f"{loose} images unsaid, {said} said"
    for split, part in zip(("train", "test"), parts, strict=False):
        try:
            load(name, split=split)
            assert not part.broken, "broken images were not refused"
        except Faults:
            assert part.broken, "refused for nothing"


def _check_read(parts: list[ImageSet], shade: dict[str, int]) -> None:
    path_of = {value: path for path, value in shade.items()}
    seen: Counter[int] = Counter()
    for part in parts:
        for value, label in zip(part.images[:, 0, 0, 0].tolist(), part.labels.tolist(), strict=True):
            seen[value] += 1
            assert part.name_of(label) in Path(path_of[value]).parent.parts, "a class that is no folder of the image"
    assert not seen or max(seen.values()) == 1, "an image that is read twice"


Part = tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]

PARTS: dict[str, Part] = {
    "exif": (exif_blocks(), check_exif),
    "labels": (label_columns(), check_labels),
    "trees": (folder_trees(), check_trees),
}


def verdict(check: Callable[[Any, Path], None], drawn: Any) -> str:
    """`read`, `refused`, `silent guess`, `hang` or `traceback`, of one input."""

    def late(*_: object) -> None:
        raise TimeoutError

    for alarm, timer, seconds in ALARMS:
        signal.signal(alarm, late)
        signal.setitimer(timer, seconds)
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EMBED_CACHE_DIR"] = f"{folder}/cache"
            check(drawn, Path(folder))
    except Faults as faults:
        return "refused" if all(faults.faults) else "silent guess"
    except TimeoutError:
        print(f"hang: {drawn}", file=sys.stderr)
        return "hang"
    except AssertionError as error:
        print(f"silent guess: {error}: {drawn}", file=sys.stderr)
        return "silent guess"
    except Exception:  # noqa: BLE001 - what is counted
        print(f"{traceback.format_exc()}{drawn}", file=sys.stderr)
        return "traceback"
    finally:
        for _, timer, _ in ALARMS:
            signal.setitimer(timer, 0)
    return "read"


def verdicts(part: str, inputs: int, number: int) -> Counter[str]:
    """How so many inputs of a part ended. `number`: seed of the draw."""
    strategy, check = PARTS[part]
    found: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=inputs, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(strategy)
    def each(drawn: Any) -> None:
        found[verdict(check, drawn)] += 1

    each()
    return found


def main() -> int:
    """Fuzz one part and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = verdicts(arguments.part, arguments.inputs, arguments.seed)
    bad = {"tracebacks": found["traceback"], "hangs": found["hang"], "silent guesses": found["silent guess"]}
    counts = ", ".join(f"{n} {what}" for what, n in bad.items())
    print(
        f"{arguments.part}: {found.total()} inputs (seed {arguments.seed}), {counts} "
        f"({found['read']} read, {found['refused']} refused)"
    )
    return 1 if any(bad.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
