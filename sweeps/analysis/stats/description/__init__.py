"""Summaries of the rows that claim no effect."""
