"""What a run says of its model: validation, held-out images, probes and fitted classifiers."""

from typing import TYPE_CHECKING

from embedding_core.evaluation.classifiers import fitted_knn, fitted_svm
from embedding_core.evaluation.held_out import HeldOut, HeldOutImages, evaluate_held_out, held_out_images
from embedding_core.evaluation.validation import collapsed, embed, validation_metrics

if TYPE_CHECKING:
    from embedding_core.evaluation.probes import ProbePoint, probe, probe_curve

__all__ = [
    "HeldOut",
    "HeldOutImages",
    "ProbePoint",
    "collapsed",
    "embed",
    "evaluate_held_out",
    "fitted_knn",
    "fitted_svm",
    "held_out_images",
    "probe",
    "probe_curve",
    "validation_metrics",
]


def __getattr__(name: str) -> object:
    """The names of `probes` load it when they are asked for: scikit-learn's import takes a second or two."""
    if name in ("ProbePoint", "probe", "probe_curve"):
        from embedding_core.evaluation import probes

        found: object = getattr(probes, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
