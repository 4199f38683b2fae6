"""Configuration: YAML files to checked settings, and the resolved files that steps read."""
