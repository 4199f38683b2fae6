"""Clip features: extraction, resampling in time."""
