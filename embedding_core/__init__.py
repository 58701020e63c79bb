"""The science: data, networks, losses, metrics and one training loop; torch and numpy, no Ray."""
