"""Videos: download, standardise, probe, decode, cut into clips, transform."""
