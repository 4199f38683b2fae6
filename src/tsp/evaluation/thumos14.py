"""The three ground truths of THUMOS14's test videos that are in use."""

from collections.abc import Sequence

from tsp.errors import TspError
from tsp.types import Video

AMBIGUOUS = "Ambiguous"
# The first has only Ambiguous segments; the other two are annotated wrongly.
ONLY_AMBIGUOUS = "video_test_0001292"
WRONG = ("video_test_0000270", "video_test_0001496")
VARIANTS = {
    "210": "210 videos (G-TAD and others): without the one that has only Ambiguous segments and two annotated wrongly",
    "212": "212 videos (DETAD, TSP): without the one that has only Ambiguous segments",
    "213": "213 videos (official annotation)",
}
DEFAULT = "210"


def left_out(videos: Sequence[Video], variant: str | None, where: str) -> frozenset[str]:
    """Videos that a variant leaves out of ground truth and predictions.

    Args:
        videos: of the annotation file.
        variant: a key of `VARIANTS`; None: the default, whatever the file holds.
        where: the file, for messages.

    Raises:
        TspError: the file lacks a video that the variant has.
    """
    missing = {"210": {ONLY_AMBIGUOUS, *WRONG}, "212": {ONLY_AMBIGUOUS}, "213": set()}[variant or DEFAULT]
    if variant is not None:
        names = {v.name for v in videos}
        needed = [name for name in (ONLY_AMBIGUOUS, *WRONG) if name not in missing | names]
        if needed:
            raise TspError(f"{where}: no video {needed[0]!r}, so it is not the ground truth of {VARIANTS[variant]}")
    return frozenset(missing)
