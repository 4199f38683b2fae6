"""Pretraining of encoders on clips of untrimmed videos: TSP and its baseline TAC."""
