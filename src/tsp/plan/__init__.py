"""What depends on what: paths of artefacts, inputs and parameters of rules, identity and status of results."""
