"""What depends on what: paths of artefacts, inputs and parameters of rules, code versions and status of results."""
