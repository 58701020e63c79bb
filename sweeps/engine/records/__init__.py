"""What a sweep keeps: rows, endings, provenance, splits, weights, and where its checkpoints lie."""
