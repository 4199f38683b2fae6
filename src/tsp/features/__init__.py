"""Clip features: extraction, import, export, resampling in time."""
