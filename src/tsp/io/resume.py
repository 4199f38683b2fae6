"""Identity of unfinished work: recorded in its folder before it begins, compared before it is resumed."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json, write_json

FILE = "identity.json"
# Differences that the message of a refused resume names.
NAMED = 5
UNKNOWN = "it was made by an earlier version, which recorded no code, settings and inputs"

Identity = Mapping[str, Any]
log = logging.getLogger("tsp.steps")


def begin(
    work: Path, state: str, present: Identity, differences: Callable[[Identity, Identity], list[str]], *, anyway: bool
) -> list[str]:
    """Record the identity of new work; refuse to resume work of another identity.

    Args:
        work: folder of the unfinished work.
        state: pattern of the files below it that a step resumes from; without one the work is new.
        present: code, settings and inputs.
        differences: names what differs between two identities.
        anyway: accept the differences. They stay recorded in the folder until the work is finished.

    Returns:
        The differences accepted now and earlier.

    Raises:
        TspError: there are differences and `anyway` is not set.
    """
    if not any(work.glob(state)):
        write_json(work / FILE, {**present, "resumed": []})
        return []
    earlier = _read(work)
    found = differences(earlier, present) if earlier else [UNKNOWN]
    resumed = list(dict.fromkeys([*earlier.get("resumed", []), *found]))
    if found and not anyway:
        raise TspError(
            f"{work}: unfinished work that does not match the present code, settings and inputs: {_listed(found)};"
            f" delete {work} to start again, or resume it with --config resume=anyway"
        )
    if found:
        log.warning("resuming despite differences (resume=anyway): %s", _listed(found))
        write_json(work / FILE, {**present, "resumed": resumed})
    return resumed


def accepted(work: Path) -> list[str]:
    """The differences accepted for the work of a folder."""
    found: list[str] = _read(work).get("resumed", [])
    return found


def finish(work: Path) -> None:
    """Remove the identity of finished work, and its folder if it is empty then."""
    (work / FILE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        work.rmdir()


def _read(work: Path) -> dict[str, Any]:
    """The recorded identity; empty if there is none or if it is damaged."""
    try:
        found = read_json(work / FILE)
    except TspError:
        return {}
    return found if isinstance(found, dict) else {}


def _listed(differences: list[str]) -> str:
    more = len(differences) - NAMED
    return ", ".join(differences[:NAMED]) + (f" and {more} more" if more > 0 else "")
