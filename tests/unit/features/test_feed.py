import threading
from pathlib import Path

import pytest
import torch

from tsp.errors import TspError
from tsp.features.feed import feed

PATHS = [Path(str(k)) for k in range(6)]


def clips(path):
    for batch in range(int(path.name)):
        yield torch.tensor([int(path.name), batch])


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_every_batch_once_and_in_order(workers):
    found = {k: [] for k in range(6)}
    ended = []
    for number, item in feed(PATHS, clips, workers):
        if item is None:
            ended.append(number)
        else:
            assert number not in ended
            found[number].append(item.tolist())
    assert found == {k: [[k, b] for b in range(k)] for k in range(6)}
    assert sorted(ended) == list(range(6))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_video_does_not_stop_the_others(workers):
    def some(path):
        yield from clips(path)
        if path.name == "3":
            raise TspError("3: damaged")

    last = {number: item for number, item in feed(PATHS, some, workers) if not isinstance(item, torch.Tensor)}
    assert [str(item) for item in last.values() if item] == ["3: damaged"]
    assert len(last) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bug_is_raised(workers):
    def broken(path):
        yield from clips(path)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(feed(PATHS, broken, workers))


def test_threads_end_when_nobody_listens():
    before = threading.active_count()
    stream = feed([Path("1000")] * 8, clips, 4)
    next(stream)
    assert threading.active_count() > before
    stream.close()
    assert threading.active_count() == before


def test_no_videos():
    assert list(feed([], clips, 0)) == list(feed([], clips, 2)) == []
