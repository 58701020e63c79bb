"""A data set of one's own: any `torch.utils.data.Dataset` of (image, label). This one draws its images.

python sweeps/koleo_accum.py --plugin examples/plugins/drawn_shapes.py --dataset drawn_shapes --set dataset.noise=0.2
"""

import numpy as np
from PIL import Image, ImageDraw
from torch.utils.data import Dataset

from embedding_core.plugins import dataset

SIDE = 16


class DrawnShapes(Dataset[tuple[Image.Image, int]]):
    """Discs, squares, triangles and crosses somewhere in the image; a row is the same whenever it is drawn."""

    classes = ("disc", "square", "triangle", "cross")

    def __init__(self, split: str, images: int, noise: float) -> None:
        self.first = 0 if split == "train" else images  # test images are others than training images
        self.images = images
        self.noise = noise

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        draw = np.random.default_rng(self.first + row)
        label = row % len(self.classes)
        image = Image.new("L", (SIDE, SIDE))
        x, y, r = int(draw.integers(5, SIDE - 5)), int(draw.integers(5, SIDE - 5)), int(draw.integers(3, 6))
        pen = ImageDraw.Draw(image)
        match self.classes[label]:
            case "disc":
                pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
            case "square":
                pen.rectangle((x - r, y - r, x + r, y + r), fill=255)
            case "triangle":
                pen.polygon((x, y - r, x - r, y + r, x + r, y + r), fill=255)
            case "cross":
                pen.line((x - r, y, x + r, y), fill=255, width=2)
                pen.line((x, y - r, x, y + r), fill=255, width=2)
        noisy = np.asarray(image) + 255 * self.noise * draw.standard_normal((SIDE, SIDE))
        return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), label


@dataset("drawn_shapes")
def drawn_shapes(split: str, images: int = 400, noise: float = 0.1) -> DrawnShapes:
    """`split`, which has no default, is `train` or `test`."""
    return DrawnShapes(split, images, noise)
