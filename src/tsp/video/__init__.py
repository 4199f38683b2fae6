"""Videos: fetch, standardise, probe, decode, cut into clips, transform."""
