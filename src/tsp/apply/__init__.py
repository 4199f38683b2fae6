"""Trained models on new videos."""
