"""Scores by the official protocols, without torch."""
