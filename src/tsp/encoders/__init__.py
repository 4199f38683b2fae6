"""Video encoders: networks from a clip `[B, C, L, H, W]` to a feature `[B, feature_dim]`."""
