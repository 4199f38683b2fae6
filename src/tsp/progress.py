"""Progress reporting: a bar on a terminal, a line every ten seconds in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
LOG_EVERY_S = 10.0
log = logging.getLogger(__name__)


def progress(iterable: Iterable[T], *, desc: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Yield the items of `iterable` and report progress, rate and remaining time."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from tqdm(iterable, desc=desc, total=total, unit=unit, leave=False)
        return
    start = shown = time.monotonic()
    done = 0
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - shown >= LOG_EVERY_S:
            shown = now
            log.info("%s", _line(desc, done, total, unit, now - start))
    log.info("%s", _line(desc, done, total, unit, time.monotonic() - start))


def _line(desc: str, done: int, total: int | None, unit: str, elapsed_s: float) -> str:
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    text = f"{desc}: {done}{'' if total is None else f'/{total}'} {unit}, {rate:.1f} {unit}/s"
    if total is None or not rate or done >= total:
        return f"{text}, {elapsed_s:.0f} s"
    return f"{text}, {(total - done) / rate:.0f} s left"
