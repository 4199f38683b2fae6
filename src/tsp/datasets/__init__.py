"""Annotation sources: one module per data set, each a function `read(paths) -> list[Video]`."""
