"""What images must be to be tested: of the training images' shape, and with pairs to compare."""

from embedding_core.data.image_sets import ImageSet
from embedding_core.errors import Faults
from embedding_core.wording import plural


def two_shapes(name: str, train: tuple[int, int, int], test: tuple[int, int, int]) -> str:
    """A sentence about the shapes (c, h, w) of training and test images that says how they become one."""
    differing, ways = [], []
    if train[0] < test[0]:
        differing.append("the training images are all grey and some test images in colour")
        ways.append("save the test images in grey, or one training image in colour, which makes all of them so")
    if train[1:] != test[1:]:
        differing.append(f"the training images are {train[1]}x{train[2]} and the test images {test[1]}x{test[2]}")
        ways.append(f"take an `image_size` (`--set image_size={max(train[1:])}`, say), which fits all into one square")
    return (
        f"Test and training images of `{name}` must have one shape, but {' and '.join(differing)}: {'; '.join(ways)}."
    )


def with_pairs(images: ImageSet, what: str, left: str = "") -> ImageSet:
    """`images`, if they have a pair of one class and one of two: otherwise nothing could be measured on them.

    Args:
        images: to be tested.
        what: they are called.
        left: what to say of images that were left out.

    Raises:
        Faults: there is none.
    """
    sizes = images.labels.unique(return_counts=True)[1]
    most = int(sizes.max()) if len(sizes) else 0
    if len(sizes) < 2 or most < 2:
        have = f"{plural(len(sizes), 'class')} {'has' if len(sizes) == 1 else 'have'} at most {plural(most, 'image')}"
        raise Faults([f"The {what} must have two classes and two images of one, but {have} "
                      f"({len(images.labels)} in all{left})."])  # fmt: skip
    return images
