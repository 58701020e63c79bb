"""A run as Ray Tune trains it: the trainable, the label it carries, its checkpoints and how it ends."""
