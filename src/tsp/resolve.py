"""Dotted paths in configuration (`module:name`) to Python objects."""

import importlib
from typing import Any

from tsp.errors import TspError


def resolve(path: str) -> Any:
    """Import `module:name`, or only the module if there is no colon.

    Raises:
        TspError: the module or the name does not exist.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise TspError(f"{path!r}: there is no module {module_name!r}") from error
        raise
    if not name:
        return module
    if not hasattr(module, name):
        public = ", ".join(n for n in vars(module) if not n.startswith("_") and callable(getattr(module, n)))
        raise TspError(f"{path!r}: {module_name} has no {name!r}; it has {public}")
    return getattr(module, name)
