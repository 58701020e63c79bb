"""What figures of embeddings are drawn from: projections, exemplars, neighbours, as rows of the store."""

from embedding_core.views.exemplars import ClassExemplars, class_exemplars
from embedding_core.views.projections import Ellipse, class_ellipses, pca, tsne, umap
from embedding_core.views.sampling import SHOWN_CLASSES, SHOWN_POINTS, SHOWN_QUERIES, shown_queries
from embedding_core.views.scatter import PROJECTIONS
from embedding_core.views.view_tables import SHOWN_NEIGHBOURS, ViewTables, compute_views

__all__ = [
    "PROJECTIONS",
    "SHOWN_CLASSES",
    "SHOWN_NEIGHBOURS",
    "SHOWN_POINTS",
    "SHOWN_QUERIES",
    "ClassExemplars",
    "Ellipse",
    "ViewTables",
    "class_ellipses",
    "class_exemplars",
    "compute_views",
    "pca",
    "shown_queries",
    "tsne",
    "umap",
]
