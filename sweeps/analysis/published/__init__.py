"""Figures of earlier studies as data, and ours beside them."""
