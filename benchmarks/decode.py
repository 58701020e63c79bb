"""Real image sets into a fresh cache: images/s, and that another process maps them without decoding.

`python benchmarks/decode.py`, with the sets as Parquet files under $EMBED_DATA_ROOT. Each set is decoded once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine_class

from embedding_core.config.data_root import resolve_root
from embedding_core.data.image_sets import load
from embedding_core.errors import Faults

SETS = ("cifar10", "mnist", "plankton", "caltech101")

MAP = """
import sys, time
from embedding_core.data.readers import image_cache
from embedding_core.data.image_sets import load

def refuse(*args, **options):
    sys.exit("the second process decodes")

image_cache.write_images = refuse
start = time.perf_counter()
load(sys.argv[1], sys.argv[2])
print(time.perf_counter() - start)
"""


def measure(name: str, root: Path) -> str:
    """Seconds to decode the training split here, and to map it in another process."""
    start = time.perf_counter()
    images = load(name, root).images
    decoded = time.perf_counter() - start
    run = subprocess.run([sys.executable, "-c", MAP, name, str(root)], capture_output=True, text=True, check=True)
    size = "x".join(str(edge) for edge in images.shape)
    return f"{size:>18}{len(images) / decoded:>12,.0f}{decoded:>10.2f}{float(run.stdout):>12.3f}"


def main() -> int:
    """Decode every set that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, help="default: $EMBED_DATA_ROOT")
    root = resolve_root(parser.parse_args().data_root)
    print(f"{machine_class()}; n = 1 each, from a file in the page cache")
    print(f"{'':12}{'images':>18}{'images/s':>12}{'decode s':>10}{'map again s':>12}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["EMBED_CACHE_DIR"] = cache
        for name in SETS:
            if not (root / name / "train.parquet").is_file():
                print(f"{name:12}skipped: no {root / name / 'train.parquet'}")
                continue
            try:
                print(f"{name:12}{measure(name, root)}", flush=True)
            except Faults as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
