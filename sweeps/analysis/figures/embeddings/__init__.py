"""Figures of embeddings, from the views that the runs stored."""
