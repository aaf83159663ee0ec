"""Read files in threads while their consumer computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Source = TypeVar("Source")


def load_in_threads(
    load: Callable[[Source], Item], numbers: Iterable[Source], *, threads: int = 1, ahead: int = 1
) -> Generator[Item, None, None]:
    """Yield ``load`` of each number or other source; up to ``ahead`` items are loaded in advance."""
    loading: deque[Future[Item]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for number in numbers:
                loading.append(pool.submit(load, number))
                if len(loading) > ahead:
                    yield loading.popleft().result()
            while loading:
                yield loading.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
