"""What every step of the workflow shares: log file, one-line user errors, one runner at a time, records of outputs."""

import fcntl
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tsp import __version__
from tsp.errors import TspError
from tsp.io import records
from tsp.io.files import read_json, write_json
from tsp.plan import identity
from tsp.plan.unfinished import Unfinished

# Libraries that decide the bytes of results.
LIBRARIES = (
    "torch",
    "torchvision",
    "av",
    "numpy",
    "scipy",
    "sklearn",
    "pandas",
    "h5py",
    "matplotlib",
    "spacy",
    "yt_dlp",
)
log = logging.getLogger("tsp.steps")


def run_step(
    main: Callable[[Any], Mapping[str, Any] | None],
    job: Any,
    *,
    options: Mapping[str, type] | None = None,
    pure: bool = True,
    unfinished: Unfinished | None = None,
) -> None:
    """Run one step script's `main(job)`, or put its outputs back if nothing that they are made of has changed.

    Messages go to `job.log[0]` and to standard error. A `TspError` ends the step with one line; any other exception is
    a bug and leaves its traceback in the log. A step whose Snakemake was killed still holds the lock on its log file:
    its successor waits, so that two never write the same work folder. An input whose checksum differs from the recorded
    one is an error (`tsp.io.records`).

    Args:
        main: writes the outputs; facts that it returns are recorded with them.
        job: Snakemake's object.
        options: names of params that are the options of a dataclass, and the dataclass.
        pure: whether the outputs follow from the declared inputs, the params and the code. A step that also reads
            sources outside the workflow always runs.
        unfinished: what an interrupted run of the step leaves. It is resumed under the same code, settings and inputs
            only; `resume: anyway` in the configuration accepts differences and records them.
    """
    path = Path(job.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        _logging(file, job.rule)
        with _alone(file):
            try:
                _run(main, job, options or {}, pure, unfinished)
            except TspError as error:
                log.error("error: %s", error)
                sys.exit(1)
            except BaseException:
                log.exception("this is a bug, or the step was stopped; the traceback is in %s", path)
                raise


def identity_of(job: Any, inputs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the outputs of a job are made of.

    Args:
        job: Snakemake's object.
        inputs: SHA-256 of its input files by path; None: they are read.
    """
    params = {name: value for name, value in job.params.items() if name not in ("code", "track_code", "inputs")}
    named = dict(job.input.items()) if hasattr(job.input, "items") else {}
    return {
        "rule": job.rule,
        "wildcards": dict(job.wildcards.items()),
        "code": job.params.get("code"),
        "modules": identity.modules(name for name in list(sys.modules) if name.split(".")[0] == "tsp"),
        "params": identity.plain(params),
        "roles": {name: [paths] if isinstance(paths, str) else list(paths) for name, paths in named.items()},
        "inputs": dict(records.check(job.input) if inputs is None else inputs),
    }


def _run(
    main: Callable[[Any], Any], job: Any, options: Mapping[str, type], pure: bool, unfinished: Unfinished | None
) -> None:
    inputs = records.check(job.input)
    _not_in_the_future(job.input)
    present, earlier = identity_of(job, inputs), records.read_all(job.output)
    if pure and earlier and _is_kept(job, earlier, present, options):
        return
    resumed = unfinished.begin(job, present, options) if unfinished else []
    records.forget(job.output)
    started, clock = datetime.now(UTC), time.monotonic()
    facts = dict(main(job) or {})
    if unfinished:
        unfinished.finish(job, resumed)
        facts["overrides"] = resumed
    _keep_resolved(facts, earlier)
    made = {"started": started.isoformat(timespec="seconds"), "seconds": round(time.monotonic() - clock, 2)}
    about = {"tools": _tools(), "host": platform.node(), "version": __version__, "kept": False}
    records.write(job.output, {**present, **made, **about, **facts})


def _is_kept(
    job: Any, earlier: Mapping[Path, records.Record], present: Mapping[str, Any], options: Mapping[str, type]
) -> bool:
    """Put the outputs back if nothing differs; and weights, if only what `track_code: cheap` reports does."""
    previous = next(iter(earlier.values()))
    if job.params.get("track_code") == "none":
        present = {**present, "code": previous["code"]}
    found = identity.differences(previous, present, options)
    written = present["params"].get("written")
    cheap = job.params.get("track_code") == "cheap" and written == previous["params"].get("written")
    is_other = previous["wildcards"] != present["wildcards"] or (found and not cheap)
    if is_other or not records.put_back(earlier):
        return False
    # Equal settings may have more options than the record; a later change of their defaults must be seen.
    made = (
        {**previous, "kept": True} if found else {**previous, **present, "modules": previous["modules"], "kept": True}
    )
    if found or previous.get("outdated"):
        made["outdated"] = found
        facts = {name: value for name, value in read_json(job.output.facts).items() if name != "outdated"}
        write_json(job.output.facts, {**facts, "outdated": found} if found else facts)
    records.write(job.output, made)
    if found:
        log.warning("the weights are kept (track_code: cheap), although they are outdated: %s", "; ".join(found))
    else:
        log.info("code, settings and inputs are those of the existing outputs, which are kept")
    return True


def _keep_resolved(facts: dict[str, Any], earlier: Mapping[Path, records.Record]) -> None:
    """Keep the text of a resolved configuration whose settings are unchanged but for new options with their defaults.

    The record has the complete settings, so that a later change of such a default is seen.
    """
    defaults = facts.pop("defaults", {})
    if earlier and "resolved" in facts:
        previous = next(iter(earlier.values())).get("resolved", {})
        if not identity.changed_settings(previous, facts["resolved"], defaults):
            records.put_back(earlier)


def _tools() -> dict[str, str]:
    """Versions of Python, of ffmpeg where a step has used it, and of the libraries that write bytes."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(getattr(module, "__version__", "unknown"))
    binaries = sys.modules.get("tsp.video.binaries")
    return found if binaries is None else {**found, "ffmpeg": binaries.ffmpeg_version()}


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
