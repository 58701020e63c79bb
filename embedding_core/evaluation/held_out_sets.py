"""The images that a finished run is evaluated on, and what cannot be asked of them; known before the run."""

from typing import NamedTuple

from embedding_core.data.class_overlap import ClassOverlap
from embedding_core.data.device_data import DeviceData
from embedding_core.data.image_sets import ImageSet
from embedding_core.data.image_subset import ImageSubset
from embedding_core.data.splits import Split
from embedding_core.errors import Faults


class HeldOutImages(NamedTuple):
    """What a finished run is evaluated on."""

    parts: dict[str, ImageSet]
    """`test`, and `unseen` where there are unseen classes."""
    train: ImageSubset
    """What classifiers are fitted to."""
    overlap: ClassOverlap | None = None
    """Of the test classes with those trained on; None: nobody has looked."""

    @property
    def disjoint(self) -> bool:
        """Whether no test class is known to be trained on."""
        return self.overlap is not None and self.overlap.disjoint


def held_out_images(data: DeviceData, split: Split, *, classifiers: bool = False, probes: int = 0) -> HeldOutImages:
    """The images that a finished run is evaluated on; called before a run too, lest it fail at its end.

    Args:
        data: the data set.
        split: of the run.
        classifiers: whether classifiers are to be fitted to the training images and tested.
        probes: draws of the probes, 0: none.

    Raises:
        Faults: see `DeviceData.test` and `DeviceData.unseen`; something is asked that these images cannot answer.
    """
    parts = {"test": data.test(split)}
    if len(split.unseen):
        parts["unseen"] = data.unseen(split)
    overlap = data.overlap(split)
    faults = []
    if classifiers and overlap.disjoint:
        faults.append(
            f"`classifiers` must be false for `{data.name}`, whose {overlap.images:,} test images are of "
            f"{overlap.classes:,} classes of their own, which no classifier fitted to training images knows."
        )
    if probes:
        faults += [fault for name, part in parts.items() if (fault := _probe_fault(name, part))]
    if faults:
        raise Faults(faults)
    return HeldOutImages(parts, data.train(split), overlap)


def _probe_fault(name: str, part: ImageSet) -> str:
    """A probe fitted to fewer labels than there are classes can find no more than some of these, and takes hours."""
    from embedding_core.evaluation.probes import BUDGETS  # scikit-learn's import takes a second or two

    classes = len(part.labels.unique())
    if classes <= BUDGETS[-1]:
        return ""
    return (
        f"`probes` must be 0 for {classes:,} {name} classes: they are fitted to {BUDGETS[-1]:,} labels at most, "
        "fewer than one of each class."
    )
