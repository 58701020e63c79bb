"""Where trials run: nodes, their room, their errors and their file systems."""
