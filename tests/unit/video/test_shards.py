"""Shards cover every row once, and grow only at the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsp.video.shards import shard_rows

sizes = st.integers(1, 40)


@given(st.integers(0, 500), sizes, sizes)
def test_every_row_is_in_exactly_one_shard(n, shards, shard_size):
    rows = [k for shard in range(shards) for k in shard_rows(n, shard, shards, shard_size)]
    assert rows == list(range(n))


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (10, [range(4), range(4, 8), range(8, 10)]),
        (15, [range(4), range(4, 8), range(8, 15)]),
        (5, [range(4), range(4, 5), range(5, 5)]),
        (0, [range(0), range(0), range(0)]),
    ],
)
def test_by_hand(n, expected):
    assert [shard_rows(n, shard, 3, 4) for shard in range(3)] == expected


@given(st.integers(0, 200), st.integers(0, 50), st.integers(2, 9), sizes)
def test_new_videos_leave_all_but_the_last_full_shards_alone(n, more, shards, shard_size):
    for shard in range(min(shards - 1, n // shard_size)):
        assert shard_rows(n, shard, shards, shard_size) == shard_rows(n + more, shard, shards, shard_size)
