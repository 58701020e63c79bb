"""Which run comes next: Optuna studies, the searchers that ask them, and ASHA, which stops what falls behind."""
