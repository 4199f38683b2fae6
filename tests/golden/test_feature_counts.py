"""Features per subset of the real data sets, from the released metadata (tsp.md 9.1)."""

import pytest

from tsp.io.tables import read_metadata
from tsp.video.clips import extraction_starts

COUNTS = [
    ("activitynet/activitynet_v1-3_train", 16, 1_097_174, (1, 707)),
    ("activitynet/activitynet_v1-3_valid", 16, 543_365, (1, 698)),
    ("activitynet/activitynet_v1-3_test", 16, 535_699, (1, 914)),
    ("thumos14/thumos14_valid", 1, 623_687, (117, 21_125)),
    ("thumos14/thumos14_test", 1, 689_315, (209, 25_085)),
]


@pytest.mark.parametrize(("stem", "stride", "total", "extremes"), COUNTS, ids=lambda value: str(value))
def test_counts(shared, stem, stride, total, extremes):
    found = sorted((shared / "tsp").glob(f"{stem}_metadata.csv*"))
    if not found:
        pytest.skip(f"no {stem}_metadata.csv among the official files")
    rows = read_metadata(found[0])
    frames = zip(rows["video-frames"], rows["fps"], strict=True)
    counts = [len(extraction_starts(int(n), float(fps), stride)) for n, fps in frames]
    assert sum(counts) == total
    assert (min(counts), max(counts)) == extremes
