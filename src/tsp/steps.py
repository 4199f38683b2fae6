"""What every step of the workflow shares: log file, one-line user errors, one runner at a time."""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io import sums

log = logging.getLogger("tsp.steps")


def run_step(main: Callable[[Any], None], job: Any) -> None:
    """Run one step script's `main(job)`.

    Messages go to `job.log[0]` and to standard error. A `TspError` ends the step with one line; any other exception is
    a bug and leaves its traceback in the log. A step whose Snakemake was killed still holds the lock on its log file:
    its successor waits, so that two never write the same work folder. An input whose checksum differs from the recorded
    one is an error (`tsp.io.sums`).
    """
    path = Path(job.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        _logging(file, job.rule)
        with _alone(file):
            try:
                sums.forget(getattr(job, "output", ()))
                sums.check(getattr(job, "input", ()))
                _not_in_the_future(getattr(job, "input", ()))
                main(job)
                sums.record(getattr(job, "output", ()))
            except TspError as error:
                log.error("error: %s", error)
                sys.exit(1)
            except BaseException:
                log.exception("this is a bug, or the step was stopped; the traceback is in %s", path)
                raise


def quiet_libraries() -> None:
    """Keep messages of libraries out of the log."""
    for noisy in ("matplotlib", "PIL", "libav", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _logging(file: Any, rule: str) -> None:
    form = logging.Formatter(f"%(asctime)s {rule}: %(message)s", "%H:%M:%S")
    handlers: list[logging.Handler] = [logging.StreamHandler(file), logging.StreamHandler(sys.stderr)]
    for handler in handlers:
        handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    quiet_libraries()


@contextmanager
def _alone(file: Any) -> Iterator[None]:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("an earlier process of this step is still running; waiting for it to end")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:  # some network file systems have no locks
        log.warning("no lock on %s (%s)", file.name, error)
    yield


def _not_in_the_future(paths: Iterable[str]) -> None:
    """Correct dates that a wrong clock set: Snakemake deletes an output that is older than its input."""
    for path in map(Path, paths):
        now = time.time()
        if not path.is_absolute() and path.is_file() and path.stat().st_mtime > now:
            log.warning("%s was written %.0f s from now (a wrong clock); dated now", path, path.stat().st_mtime - now)
            os.utime(path, (now, now))


def optional_path(value: Any) -> Path | None:
    """The path of an input that a rule may leave empty."""
    return Path(value) if value else None


def workers_of(job: Any) -> int:
    """Loader workers of a step: all its threads but one; with one thread the step loads in its own process."""
    return max(0, int(job.threads) - 1)
