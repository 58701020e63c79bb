"""What the console script `koleo-sweeps` offers, a module per command."""
