"""What a run says of its model: validation, held-out images, probes and fitted classifiers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from embedding_core.evaluation.classifiers import fitted_knn, fitted_svm
from embedding_core.evaluation.collapse import collapsed
from embedding_core.evaluation.embedding import embed
from embedding_core.evaluation.held_out import HeldOut, evaluate_held_out
from embedding_core.evaluation.held_out_sets import HeldOutImages, held_out_images
from embedding_core.evaluation.validation import validation_metrics

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


_OF_PROBES = ("ProbePoint", "probe", "probe_curve")
"""Loaded when they are asked for: scikit-learn's import takes a second or two."""


def __getattr__(name: str) -> Any:
    if name not in _OF_PROBES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.probes"), name)
