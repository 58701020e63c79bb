"""Metrics of embeddings: distances, exact verification, retrieval, rank and spread."""

from embedding_core.metrics.distances import DISTANCES, class_distances, distance_matrix, intra_inter, paired_distance
from embedding_core.metrics.embedding_statistics import (
    SimilarityStats,
    alignment,
    effective_rank,
    feature_std,
    nn_distance,
    similarity_stats,
    singular_values,
    uniformity,
)
from embedding_core.metrics.meter import Meter
from embedding_core.metrics.neighbours import Neighbours, nearest_neighbours, top_k_neighbours
from embedding_core.metrics.retrieval import (
    QueryMean,
    QueryScores,
    average_precisions,
    hit_rates,
    hits,
    knn_accuracy,
    label_hit_rates,
    map_at_r,
    recall_at_k,
)
from embedding_core.metrics.verification import (
    ClassAuc,
    Verification,
    good_triplet_ratio,
    pair_auc,
    pair_auc_se,
    verification_auc,
    verification_by_class,
)

__all__ = [
    "DISTANCES",
    "ClassAuc",
    "Meter",
    "Neighbours",
    "QueryMean",
    "QueryScores",
    "SimilarityStats",
    "Verification",
    "alignment",
    "average_precisions",
    "class_distances",
    "distance_matrix",
    "effective_rank",
    "feature_std",
    "good_triplet_ratio",
    "hit_rates",
    "hits",
    "intra_inter",
    "knn_accuracy",
    "label_hit_rates",
    "map_at_r",
    "nearest_neighbours",
    "nn_distance",
    "pair_auc",
    "pair_auc_se",
    "paired_distance",
    "recall_at_k",
    "similarity_stats",
    "singular_values",
    "top_k_neighbours",
    "uniformity",
    "verification_auc",
    "verification_by_class",
]
