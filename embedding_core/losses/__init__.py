"""Losses of embeddings, the miners that feed them, and the objective of a run."""

from embedding_core.losses.classification import ArcFace, SoftmaxClassifier
from embedding_core.losses.functional import (
    KoLeo,
    koleo,
    koleo_terms,
    nt_xent,
    nt_xent_chance,
    nt_xent_floor,
    triplet_hinge,
    triplet_margin,
    triplet_semihard,
)
from embedding_core.losses.miners import Triplets, curriculum, mine, mine_random
from embedding_core.losses.modules import (
    BaseLoss,
    Classifier,
    FixedTriplets,
    MinedTriplets,
    SemiHardTriplets,
    TwoViews,
)
from embedding_core.losses.objective import KoLeoSettings, Objective

__all__ = [
    "ArcFace",
    "BaseLoss",
    "Classifier",
    "FixedTriplets",
    "KoLeo",
    "KoLeoSettings",
    "MinedTriplets",
    "Objective",
    "SemiHardTriplets",
    "SoftmaxClassifier",
    "Triplets",
    "TwoViews",
    "curriculum",
    "koleo",
    "koleo_terms",
    "mine",
    "mine_random",
    "nt_xent",
    "nt_xent_chance",
    "nt_xent_floor",
    "triplet_hinge",
    "triplet_margin",
    "triplet_semihard",
]
