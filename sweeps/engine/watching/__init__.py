"""What only shows a sweep: progress, metrics, the functions of strangers. None of it can end a run."""
