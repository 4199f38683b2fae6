"""Tables, figures and the report page, without torch."""
