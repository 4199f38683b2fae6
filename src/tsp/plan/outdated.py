"""What a dry run does not show: outdated encoders, other versions of tools, sources that changed.

`tsp status` prints it below the table of jobs.
"""

import os
import platform
import textwrap
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsp.config.load import read_yaml
from tsp.errors import TspError
from tsp.io import records
from tsp.io.files import read_json, sha256
from tsp.plan import identity
from tsp.plan.paths import RESULTS
from tsp.plan.sources import facts_of, is_address, local_sources, place
from tsp.plan.trace import Tracer, natural
from tsp.video.binaries import ffmpeg_version

# Names and sources that a line or a list shows.
NAMED, LISTED = 4, 10
WIDTH = 110
# What the files of a rule are called.
STAGES = {
    "render": "generated videos",
    "standardise": "standardised videos",
    "pretrain": "encoders",
    "extract_features": "features",
    "sound_features": "sound features",
    "train_localiser": "localisers",
    "train_captioner": "captioners",
    "train_proposals": "proposal generators",
}
OTHERS = "outputs"


def outdated_encoders(results: Path) -> dict[str, list[str]]:
    """Runs that `track_code: cheap` keeps although something has changed since their training, and what.

    It is what the workflow listed in `encoder.json`, and what differs now: modules, settings of `config.yaml`, inputs.
    """
    tracer = Tracer(results)
    found = {}
    for path in sorted(results.glob("pretrain/*/encoder.json")):
        run, facts = path.parent.name, read_json(path)
        settings = facts_of(facts.get("run"))
        if settings.get("track_code") == "none":
            continue
        differences = [str(one) for one in facts.get("outdated") or ()]
        record = tracer.record(f"{RESULTS}/pretrain/{run}/encoder.json")
        if record is not None:
            differences += changed_code(record)
            differences += changed_inputs(tracer, record)
        config = path.with_name("config.yaml")
        present = read_yaml(config) if config.is_file() else {}
        for name in ("run", "encoder"):
            differences += changed_settings(facts_of(facts.get(name)), facts_of(present.get(name)), f"{name}.")
        # The workflow names a setting by a longer key.
        named = list(dict.fromkeys(differences))
        unique = [one for one in named if not any(other != one and other.endswith(f".{one}") for other in named)]
        if unique:
            found[run] = unique
    return found


def changed_code(record: Mapping[str, Any]) -> list[str]:
    """Modules of a record whose present code differs; none where the code is not tracked."""
    before = facts_of(record.get("modules"))
    if record.get("code") == "untracked" or not before:
        return []
    now = identity.modules(before)
    return [f"code of {name}" for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def changed_inputs(tracer: Tracer, record: Mapping[str, Any]) -> list[str]:
    """Inputs of a record that have been made again since, with other content; settings are compared one by one."""
    found = []
    for path, digest in facts_of(record.get("inputs")).items():
        made = tracer.record(path)
        if made is not None and made.get("sha256") != digest and not path.endswith("/config.yaml"):
            found.append(f"input {path}")
    return found


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Settings that both have, with other values; a setting that only one has is newer or older code."""
    for key, value in old.items():
        if key == "track_code" or key not in new or new[key] == value:
            continue
        if isinstance(value, Mapping) and isinstance(new[key], Mapping):
            yield from changed_settings(value, new[key], f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} ({value}, now {new[key]})"


def other_tools(results: Path) -> list[str]:
    """Stages whose tools have another version now, and the outputs that were made with it, each as a sentence."""
    present: dict[str, str | None] = {}
    found: dict[str, dict[str, set[str]]] = {}  # stage -> difference -> what was made so
    for record in _records(results):
        rule = str(record.get("rule"))
        for tool, used in facts_of(record.get("tools")).items():
            if tool not in present:
                present[tool] = present_version(tool)
            now = present[tool]
            if now is not None and used != "unknown" and not is_same_version(str(used), now):
                made = _subject(facts_of(record.get("wildcards"))) if rule in STAGES else rule
                differences = found.setdefault(STAGES.get(rule, OTHERS), {})
                differences.setdefault(f"{tool} {used}, now {now}", set()).add(made)
    lines: dict[str, list[str]] = {}
    for stage in sorted(found, key=[*STAGES.values(), OTHERS].index):
        for difference, made_so in sorted(found[stage].items()):
            subjects = sorted(made_so - {""}, key=natural)
            outputs = f"{stage} of {_some(subjects, NAMED)}" if subjects else stage
            lines.setdefault(outputs, []).append(difference)
    return [f"{outputs}: made with {'; '.join(differences)}" for outputs, differences in lines.items()]


def is_same_version(used: str, now: str) -> bool:
    """Whether two versions are the same; a build tag, as in `2.6.0+cpu`, counts where both have one."""
    if "+" in used and "+" in now:
        return used == now
    return used.partition("+")[0] == now.partition("+")[0]


def present_version(tool: str) -> str | None:
    """Version of a tool; None where it is not installed: steps may run in environments of their own."""
    if tool == "python":
        return platform.python_version()
    try:
        return ffmpeg_version() if tool == "ffmpeg" else version(tool)
    except (PackageNotFoundError, TspError, ImportError):
        return None


def changed_sources(results: Path) -> list[str]:
    """Local sources that have changed or disappeared since they were read, each with the data set that needs it."""
    found = []
    for user, source, facts in [*local_sources(results), *_recorded_sources(results)]:
        state = "" if is_address(source) else _state(place(results, source), facts)
        if state:
            found.append(f"{source} ({user}): {state}")
    return list(dict.fromkeys(found))


def _recorded_sources(results: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for record in _records(results):
        for source, facts in facts_of(record.get("sources")).items():
            yield _subject(facts_of(record.get("wildcards"))), source, facts_of(facts)


def _state(file: Path, facts: Mapping[str, Any]) -> str:
    """What happened to a source; empty: nothing. It is read only if its date has changed and its size has not."""
    try:
        now = file.stat()
    except (OSError, ValueError):
        return "missing" if facts else ""
    if not facts:
        return "available now, missing before"
    if facts.get("mtime_ns") == now.st_mtime_ns and facts.get("bytes") == now.st_size:
        return ""
    digest = facts.get("sha256")
    if digest is None or not file.is_file():
        return ""
    if facts.get("bytes") not in (None, now.st_size):
        return "changed"
    return "" if sha256(file) == digest else "changed"


def _records(results: Path) -> Iterator[Mapping[str, Any]]:
    """Records of all existing outputs."""
    made = results / records.FOLDER.name / RESULTS
    for folder, folders, names in os.walk(made):
        folders.sort()
        for name in sorted(names):
            output = results / Path(folder).relative_to(made) / name.removesuffix(".json")
            if name.endswith(".json") and output.is_file():
                found = read_json(Path(folder, name))
                if isinstance(found, Mapping):
                    yield found


def _subject(wildcards: Mapping[str, Any]) -> str:
    """What a job is about in one word: the experiment, the run, or the subset of a data set."""
    for name in ("experiment", "captioning", "sound", "run", "table"):
        if name in wildcards:
            return str(wildcards[name])
    return "/".join(str(wildcards[name]) for name in ("dataset", "subset") if name in wildcards)


def report(results: Path) -> list[str]:
    """Lines for `tsp status`; empty where there is nothing to report."""
    lines: list[str] = []
    if encoders := outdated_encoders(results):
        lines.append("outdated encoders, kept by track_code: cheap (track_code: all retrains):")
        for run, found in encoders.items():
            lines += _wrapped(f"{run}: {_some(found, LISTED)}")
    if tools := other_tools(results):
        lines.append("other versions of tools:")
        for line in tools:
            lines += _wrapped(line)
    if sources := changed_sources(results):
        lines.append("sources that have changed since they were read:")
        for source in sources[:LISTED]:
            lines += _wrapped(source)
        lines += [f"  and {len(sources) - LISTED} more"] if len(sources) > LISTED else []
    return lines


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _some(names: list[str], limit: int) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
