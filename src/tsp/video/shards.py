"""Assignment of videos to shards."""


def shard_rows(n: int, shard: int, shards: int, shard_size: int) -> range:
    """Rows of a shard of `shard_size` videos; the last shard takes the remaining videos.

    With a fixed size, videos added at the end of the list change only the last shard.

    Args:
        n: number of videos of the subset.
        shard: number of the shard, from 0.
        shards: number of shards.
        shard_size: videos of a shard.
    """
    stop = n if shard == shards - 1 else (shard + 1) * shard_size
    return range(min(shard * shard_size, n), min(stop, n))
