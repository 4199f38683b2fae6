"""Which videos a shard holds."""


def shard_rows(n: int, shard: int, shards: int, shard_size: int) -> range:
    """Rows of a shard of `shard_size` videos; the last shard takes whatever is left over.

    A fixed size keeps every shard but the last as it is when videos are added at the end of the list.

    Args:
        n: videos of the subset.
        shard: number of the shard, from 0.
        shards: how many there are.
        shard_size: videos of a shard.
    """
    stop = n if shard == shards - 1 else (shard + 1) * shard_size
    return range(min(shard * shard_size, n), min(stop, n))
