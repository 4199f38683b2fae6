"""Decoding of many videos in threads while the network computes."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import Tensor

from tsp.errors import TspError

# A batch of a video; None at its end; the error of an unreadable video.
Event = tuple[int, Tensor | TspError | None]
# Queued batches per thread; one of 32 clips of 112 x 112 pixels takes 77 MB.
AHEAD = 2
POLL_S = 0.1


def feed(paths: Sequence[Path], clips: Callable[[Path], Iterator[Tensor]], workers: int) -> Iterator[Event]:
    """Batches of all videos: in order within a video, videos interleaved.

    Args:
        paths: the videos.
        clips: yields the batches of one video.
        workers: threads, each decoding one video (decoding releases the GIL); 0: this thread.

    Yields:
        (number of the video, batch); then (number, None) after its last batch, or (number, error) if `clips` raised
        a TspError.

    Raises:
        Exception: any other exception of `clips`.
    """
    if workers < 1:
        for number, path in enumerate(paths):
            yield from _events(number, path, clips)
        return
    events: queue.Queue[Event | Exception] = queue.Queue(maxsize=AHEAD * workers)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(paths)):
        waiting.put(number)
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                number = waiting.get_nowait()
                for event in _events(number, paths[number], clips):
                    if not _put(events, event, stop):
                        return
        except queue.Empty:
            return
        except Exception as error:  # passed to the consumer, which raises it
            _put(events, error, stop)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(paths)))]
    for thread in threads:
        thread.start()
    try:
        yield from _until_all(events, len(paths))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _events(number: int, path: Path, clips: Callable[[Path], Iterator[Tensor]]) -> Iterator[Event]:
    try:
        for batch in clips(path):
            yield number, batch
    except TspError as error:
        yield number, error
    else:
        yield number, None


def _put(events: "queue.Queue[Event | Exception]", item: Event | Exception, stop: threading.Event) -> bool:
    """Wait for space in the queue; False if the consumer has stopped."""
    while not stop.is_set():
        try:
            events.put(item, timeout=POLL_S)
        except queue.Full:
            continue
        return True
    return False


def _until_all(events: "queue.Queue[Event | Exception]", videos: int) -> Iterator[Event]:
    while videos:
        event = events.get()
        if isinstance(event, Exception):
            raise event
        videos -= not isinstance(event[1], Tensor)
        yield event
