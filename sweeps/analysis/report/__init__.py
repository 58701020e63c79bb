"""The report: sections of text, tables and figures, and their pages."""
