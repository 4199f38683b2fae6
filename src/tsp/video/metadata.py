"""The metadata table of a subset, from the manifests of its shards."""

import logging
from pathlib import Path

import pandas as pd

from tsp.errors import TspError
from tsp.io.tables import MANIFEST_COLUMNS, METADATA_COLUMNS, read_manifest, whole_numbers, write_table

log = logging.getLogger(__name__)


def merge_metadata(manifests: list[Path], metadata: Path, manifest: Path, max_failed: float) -> None:
    """Merge the shards of a subset.

    Args:
        manifests: probe manifests in shard order.
        metadata: table of the usable videos to write.
        manifest: table of all videos, with status and reason, to write.
        max_failed: share of unusable videos that is accepted.

    Raises:
        TspError: more videos are unusable (the first ten are named), or all are.
    """
    rows = pd.concat([read_manifest(path) for path in manifests], ignore_index=True)
    failed = rows[rows["status"] != "ok"]
    counts = ", ".join(f"{n} {status}" for status, n in failed["status"].value_counts().items())
    if len(failed) > max_failed * len(rows) or len(failed) == len(rows):
        again = int((failed["status"] == "transient").sum())
        hint = f" {again} of them failed for a temporary reason, and the next run tries them again." if again else ""
        named = "; ".join(f"{r.video}: {r.status} ({r.reason})" for r in failed.head(10).itertuples())
        raise TspError(
            f"{len(failed)} of {len(rows)} videos cannot be used ({counts}); max_failed is {max_failed:g}."
            f"{hint} First: {named}. Raise datasets.<name>.max_failed to continue without them, or download the shard"
            " again (docs/runbook.md)"
        )
    if len(failed):
        log.warning("%d of %d videos cannot be used and are skipped: %s", len(failed), len(rows), counts)
    write_table(whole_numbers(rows[MANIFEST_COLUMNS]), manifest)
    write_table(whole_numbers(rows[rows["status"] == "ok"])[METADATA_COLUMNS], metadata)
