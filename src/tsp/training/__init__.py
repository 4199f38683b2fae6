"""The shared trainer: one loop for encoders, localisers and captioners."""
