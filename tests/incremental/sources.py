"""Edits of a user's own files and of results: annotations, source videos, outputs deleted by hand."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Edit = Callable[[random.Random, Path], str | None]


def _annotations(folder: Path, change: Callable[[dict[str, Any]], str]) -> str:
    path = folder / "annotations.json"
    document = json.loads(path.read_text())
    text = change(document["database"])
    path.write_text(json.dumps(document, indent=1))
    return text


def annotation_row(chances: random.Random, folder: Path) -> str | None:
    """A segment is removed, added, moved or gets another label."""

    def change(database: dict[str, Any]) -> str:
        name = chances.choice(sorted(n for n in database if database[n]["annotations"]))
        rows = database[name]["annotations"]
        row = chances.choice(rows)
        kind = chances.choice(["removed", "added", "moved", "relabelled"])
        if kind == "removed":
            rows.remove(row)
        elif kind == "added":
            rows.append({"segment": [0.25, round(chances.uniform(1.5, 3), 2)], "label": row["label"]})
        elif kind == "moved":
            row["segment"] = [row["segment"][0], round(row["segment"][1] + chances.uniform(0.1, 0.5), 2)]
        else:
            row["label"] = chances.choice(
                [v for v in ("hop", "shake", "circle", "slash", "weave") if v != row["label"]]
            )
        return f"annotation {kind} in {name}"

    return _annotations(folder, change)


def sentence(chances: random.Random, folder: Path) -> str | None:
    """A reference caption gets another word."""
    path = folder / chances.choice(["captions_training.json", "captions_validation.json"])
    document = json.loads(path.read_text())
    name = chances.choice(sorted(document))
    sentences = document[name]["sentences"]
    number = chances.randrange(len(sentences))
    sentences[number] = sentences[number].replace("A ", "One ", 1) + " Slowly."
    path.write_text(json.dumps(document))
    return f"{path.name}: {name} sentence {number}"


def _sources(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / "sources").iterdir() if p.is_file())


def _other(chances: random.Random, folder: Path, suffix: str | None = None) -> Path:
    return chances.choice(sorted(p for p in (folder / "pool").iterdir() if suffix in (None, p.suffix)))


def replaced(chances: random.Random, folder: Path) -> str | None:
    """Another video under the same name, by renaming."""
    path = chances.choice(_sources(folder))
    other = _other(chances, folder)
    shutil.copy(other, folder / "new")
    (folder / "new").replace(path)
    return f"{path.name} replaced by {other.name}"


def overwritten(chances: random.Random, folder: Path) -> str | None:
    """Another video written into the same file, which other names may share."""
    path = chances.choice(_sources(folder))
    other = _other(chances, folder)
    path.write_bytes(other.read_bytes())
    return f"{path.name} overwritten by {other.name}"


def other_ending(chances: random.Random, folder: Path) -> str | None:
    """Another video under the same stem and another ending."""
    path = chances.choice(_sources(folder))
    target = path.with_suffix(chances.choice([s for s in (".mp4", ".mkv", ".avi") if s != path.suffix]))
    shutil.copy(_other(chances, folder), target)
    path.unlink()
    return f"{path.name} replaced by {target.name}"


def swapped(chances: random.Random, folder: Path) -> str | None:
    """Two files exchange their names."""
    first, second = chances.sample(_sources(folder), 2)
    first.rename(folder / "new")
    second.rename(first)
    (folder / "new").rename(second)
    return f"{first.name} and {second.name} swapped"


def renamed(chances: random.Random, folder: Path) -> str | None:
    """A file gets another name, in the annotations too."""
    path = chances.choice(_sources(folder))
    name = f"renamed_{chances.randrange(10**6)}"

    def change(database: dict[str, Any]) -> str:
        old = next((n for n, entry in database.items() if path.stem in (n, f"v_{n}")), None)
        if old is not None:
            items = [(name if n == old else n, entry) for n, entry in database.items()]
            database.clear()
            database.update(items)
            database[name].pop("filename", None)
        return f"{path.name} renamed to {name}"

    text = _annotations(folder, change)
    path.rename(path.with_name(name + path.suffix))
    return text


def removed(chances: random.Random, folder: Path) -> str | None:
    """A file disappears; the annotations still name it."""
    found = _sources(folder)
    if len(found) < 8:
        return None
    path = chances.choice(found)
    path.unlink()
    return f"{path.name} removed"


def added(chances: random.Random, folder: Path) -> str | None:
    """A new file with annotations."""
    name = f"added_{chances.randrange(10**6)}"
    shutil.copy(_other(chances, folder), folder / f"sources/{name}.mp4")

    def change(database: dict[str, Any]) -> str:
        like = chances.choice(sorted(database))
        entry = {k: v for k, v in database[like].items() if k not in ("filename", "source", "captions")}
        database[name] = entry
        return f"{name}.mp4 added to {entry['subset']}"

    return _annotations(folder, change)


def touched(chances: random.Random, folder: Path) -> str | None:
    """A new time, the same content."""
    path = chances.choice(_sources(folder))
    os.utime(path)
    return f"{path.name} touched"


def deleted(chances: random.Random, folder: Path) -> str | None:
    """Outputs, records, links or files of a store are deleted by hand."""
    found = sorted(p for p in (folder / "results").rglob("*") if p.is_file())
    folders = sorted({p.parent for p in found} - {folder / "results"})
    if chances.random() < 0.3:
        path = chances.choice(folders)
        shutil.rmtree(path)
        return f"folder {path.relative_to(folder)} deleted"
    chosen = chances.sample(found, min(len(found), chances.randint(1, 4)))
    for path in chosen:
        path.unlink()
    return f"deleted {', '.join(str(p.relative_to(folder)) for p in chosen)}"


def dated(chances: random.Random, folder: Path) -> str | None:
    """Times of all sources are those of a fresh copy."""
    now = time.time()
    for path in _sources(folder):
        os.utime(path, (now, now))
    return "all sources touched"


EDITS: dict[str, Edit] = {
    "annotations": annotation_row,
    "captions": sentence,
    "source replaced": replaced,
    "source overwritten": overwritten,
    "source with another ending": other_ending,
    "sources swapped": swapped,
    "source renamed": renamed,
    "source removed": removed,
    "source added": added,
    "source touched": touched,
    "all sources touched": dated,
    "outputs deleted": deleted,
}
