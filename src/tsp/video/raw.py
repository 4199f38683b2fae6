"""Raw files of videos: their extensions, and how one is found in a folder."""

from pathlib import Path

from tsp.names import feature_key

MEDIA_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".ts", ".wmv", ".3gp")


def raw_names(filename: str) -> list[str]:
    """Names that the raw file for a standardised file name may have: same stem, any extension."""
    return [feature_key(filename) + suffix for suffix in (*MEDIA_SUFFIXES, ".media")]


def raw_path(store: Path, filename: str) -> Path | None:
    """The raw file for a standardised file name; None if missing."""
    return next((store / name for name in raw_names(filename) if (store / name).is_file()), None)


def media_suffix(name: str) -> str:
    """The extension of a raw file for a source of this name; `.media` where its own is not that of a video."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix in MEDIA_SUFFIXES else ".media"
