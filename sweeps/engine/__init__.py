"""What runs a plan: Ray Tune with Optuna and ASHA, the one writer of results, and all that must survive a failure."""
