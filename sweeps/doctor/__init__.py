"""Whether a machine has what sweeps need of it, asked without starting Ray."""
