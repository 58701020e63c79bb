"""Figures of the embeddings of test images, from the views that the runs stored."""
