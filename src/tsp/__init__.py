"""Temporally-sensitive pretraining of video encoders, from raw videos to the paper's tables."""

__version__ = "0.1.0"
