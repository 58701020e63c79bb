"""The command line of a sweep: flags, checks before the first trial, the forecast, and one sweep from start to end."""
