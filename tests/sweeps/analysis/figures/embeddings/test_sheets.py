import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from sweeps.analysis.figures.embeddings.neighbours import neighbour_sheet
from sweeps.analysis.figures.embeddings.sheets import draw_sheet
from sweeps.analysis.figures.embeddings.stored_views import Shown
from sweeps.analysis.figures.style import svg_of
from sweeps.analysis.stats.reading.pairing import Place
from sweeps.results.store import read


def test_a_sheet_draws_the_stored_pixels_and_frames_strangers(viewed: Path, viewed_cells: Shown) -> None:
    data = neighbour_sheet(viewed_cells, read(viewed, "eval_groups"), "test", "koleo=on", block=Place(1, 1))
    svg = svg_of(draw_sheet(data))
    tiles = [tile for row in data.tiles for group in row for tile in group]
    drawn = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in _embedded(svg)]
    wanted = [np.asarray(Image.open(io.BytesIO(tile.png)).convert("RGB")) for tile in tiles]
    assert len(drawn) == len(wanted) == 48
    pixels = {array[..., :3].tobytes() for array in drawn} | {array[::-1, :, :3].tobytes() for array in drawn}
    assert {array.tobytes() for array in wanted} <= pixels
    strangers = sum(tile.value is not None and not tile.same for tile in tiles)
    dashed = re.findall(r"stroke-dasharray: [^;]*;", svg)
    assert strangers == len(dashed) > 0


def _embedded(svg: str) -> list[str]:
    return re.findall(r'data:image/png;base64,([^"]+)"', svg)
