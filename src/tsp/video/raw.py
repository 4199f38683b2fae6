"""Raw files of videos: their extensions, and how one is found in a folder."""

from pathlib import Path

from tsp.names import feature_key

MEDIA_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".ts", ".wmv", ".3gp")


def raw_path(store: Path, filename: str) -> Path | None:
    """The raw file for a standardised file name: same stem, any extension; None if missing."""
    stem = feature_key(filename)
    wanted = (stem + suffix for suffix in (*MEDIA_SUFFIXES, ".media"))
    return next((store / name for name in wanted if (store / name).is_file()), None)
