"""File formats: every file of the pipeline is read, written and checked here."""
