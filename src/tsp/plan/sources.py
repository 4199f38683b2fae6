"""What is recorded of the sources outside the workflow: local files, addresses, and videos in the stores."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tsp.errors import TspError
from tsp.io.files import read_json
from tsp.plan.paths import RESULTS

# Folder of the records of a store, beside its files.
RECORDS = ".made"
Facts = dict[str, Any]


def is_address(source: str) -> bool:
    """Whether a source is an address rather than a local file."""
    return "://" in source and not source.startswith("file://")


def place(results: Path, path: str) -> Path:
    """Where the file of a recorded path is, given the results folder."""
    if path.startswith(f"{RESULTS}/"):
        return results / path[len(RESULTS) + 1 :]
    return results.parent / path.removeprefix("file://")


def sources_of(results: Path, path: str, record: Mapping[str, Any]) -> dict[str, Facts]:
    """Sources that the step of an output read, with what is recorded of each.

    Args:
        results: results folder.
        path: the output.
        record: its record.
    """
    found = {name: facts_of(facts) for name, facts in dict(record.get("sources") or {}).items()}
    params = record.get("params") or {}
    source = params.get("source")
    if not found and isinstance(source, Mapping) and (source.get("url") or source.get("path")):
        # A released file; its checksum may be stated by its first digits.
        found[str(source.get("url") or source["path"])] = {"expected": source.get("digest")}
    if not found and record.get("rule") == "download" and params.get("store"):
        found = dict(_downloaded(results, path, str(params["store"])))
    return found


def facts_of(value: Any) -> Facts:
    """Facts of a source; a bare value is its checksum."""
    return dict(value) if isinstance(value, Mapping) else {"sha256": value} if value else {}


def _downloaded(results: Path, manifest: str, store: str) -> Iterator[tuple[str, Facts]]:
    """Sources of the videos in the manifest of a download, from the records of the raw store."""
    try:
        with place(results, manifest).open(encoding="utf-8", newline="") as file:
            stems = {Path(row.get("filename") or "").stem for row in csv.DictReader(file)}
    except (OSError, ValueError, csv.Error):
        return
    for path in sorted((place(results, store) / RECORDS).glob("*.json")):
        name = path.name.removesuffix(".json")
        if Path(name).stem in stems and (record := stored(place(results, store) / name)) is not None:
            address = record.get("source") or record.get("address")
            yield (str(address), record) if address else (name, record)


def stored(file: Path) -> Facts | None:
    """What is recorded of a file in a store; None without a record.

    Returns:
        What the file was made of, `source` and what the server stated, `sha256`, `bytes` and `mtime_ns`: those of
        a local source, otherwise those of the file.
    """
    path = file.parent / RECORDS / f"{file.name}.json"
    try:
        record = read_json(path) if path.is_file() else None
    except TspError:
        return None
    if not isinstance(record, Mapping):
        return None
    notes = facts_of(record.get("notes"))
    made = facts_of(record.get("identity", record))
    content = facts_of(notes.pop("content", None) or record.get("content"))
    return {**made, **facts_of(notes.pop("server", None)), **notes, **content}


def local_sources(results: Path) -> Iterator[tuple[str, str, Facts]]:
    """Local sources of all downloads: folder of the store, source, and facts; no facts of one that was missing."""
    for path in sorted(results.glob(f"*/raw/*/{RECORDS}/sources.*.json")):
        found = read_json(path)
        store = path.parents[1].relative_to(results)
        for source, facts in sorted(facts_of(found.get("sources")).items()):
            yield f"{store.parts[0]}/{store.name}", source, facts_of(facts)
