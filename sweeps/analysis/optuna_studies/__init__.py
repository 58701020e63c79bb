"""The descriptive report of any Optuna study."""
