"""The one error that is the user's to mend."""


class TspError(ValueError):
    """A fault in input, configuration or machine, told in one line.

    The message names the file, the row or key, the value found, what was expected and what to try.
    Everything else that is raised is a bug and keeps its traceback. It is a ValueError so that a config
    class may raise it in `__post_init__` and the fault is listed with all the others.
    """
