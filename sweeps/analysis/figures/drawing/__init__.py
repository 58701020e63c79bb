"""What all figures share: canvas and axes, colours and dashes, fonts, panels, names beside lines."""
