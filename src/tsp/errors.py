"""The one error that a user can fix."""


class TspError(ValueError):
    """An error in the input, the configuration or the machine, reported in one line.

    The message names the file, the row or key, the value found, what was expected and what to try.
    Every other exception is a bug and keeps its traceback. It is a ValueError so that a config class may raise
    it in `__post_init__` and it is listed with all other errors of the configuration.
    """
