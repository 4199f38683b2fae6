"""Reading, writing and validation of all file formats of the pipeline."""
