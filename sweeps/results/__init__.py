"""The store of one sweep: schema, columns, files, readers; neither Ray nor torch."""
