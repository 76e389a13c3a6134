"""torch's threads: in forked processes, and for subbatches that run side by side."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Lock
from typing import TypeVar

import torch

# A stream has subbatches of at least so many wordpieces: in smaller ones, calls cost more than
# threads that wait.
MIN_ROWS = 256

T = TypeVar("T")
R = TypeVar("R")


class ForkGuard:
    """Sets torch to one thread in a forked process.

    `nlp.pipe(n_process=2)` forks. Threads don't survive a fork, but OpenMP, which torch uses, waits
    for the threads that its parent had.
    """

    def __init__(self) -> None:
        """Store the id of the process."""
        self._pid = os.getpid()

    def check(self) -> None:
        """Set torch to one thread in a forked process. Call it before torch computes."""
        if os.getpid() != self._pid:
            torch.set_num_threads(1)
            self._pid = os.getpid()

    def __reduce__(self) -> tuple[type[ForkGuard], tuple[()]]:
        # Unpickled, it belongs to the process that unpickles it.
        return ForkGuard, ()


class Streams:
    """Threads that each run subbatches of their own.

    Where all threads share every matrix product, they wait for the slowest of them after each.
    Side by side, none waits for another.
    """

    def __init__(self) -> None:
        """Start no thread yet."""
        self._lock = Lock()
        self._key: tuple[int, int, int] | None = None
        self._executor: ThreadPoolExecutor | None = None

    def __reduce__(self) -> tuple[type[Streams], tuple[()]]:
        # Threads can't be copied. A copy starts its own.
        return Streams, ()

    def map(self, function: Callable[[T], R], items: Iterable[T], n_streams: int) -> Iterator[R]:
        """Apply a function to items, several at a time.

        function (callable): Called once for each item.
        items (iterable): The items.
        n_streams (int): How many run at a time; with 1, in the calling thread.
        YIELDS: The results, in the order of the items.
        """
        if n_streams < 2:
            yield from map(function, items)
            return
        executor = self._start(n_streams)
        running: deque[Future[R]] = deque()
        try:
            for item in items:
                running.append(executor.submit(function, item))
                # One is waiting, so that no thread does.
                if len(running) > n_streams:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def _start(self, n_streams: int) -> ThreadPoolExecutor:
        """Return the threads; start them where none are running in this process."""
        n_threads = torch.get_num_threads()
        key = (os.getpid(), n_threads, n_streams)
        with self._lock:
            if self._executor is None or self._key != key:
                self._executor = _start_threads(n_threads, n_streams)
                self._key = key
            return self._executor


def count_streams(words_per_batch: int, n_wordpieces: int) -> int:
    """Compute how many subbatches to run at a time on a CPU.

    words_per_batch (int): The maximum number of wordpieces that run at a time; 0 for one subbatch.
    n_wordpieces (int): Wordpieces of all subbatches.
    RETURNS (int): The number. torch's threads are divided among so many.
    """
    n_threads = torch.get_num_threads()
    most = max(words_per_batch // MIN_ROWS, 1)
    # Each has the same number of threads.
    n_streams = n_threads // math.ceil(n_threads / most)
    return n_streams if n_wordpieces >= n_streams * MIN_ROWS else 1


def _start_threads(n_threads: int, n_streams: int) -> ThreadPoolExecutor:
    """Start threads among which torch's threads are divided."""
    ready = Barrier(n_streams + 1)

    def start() -> None:
        # At the first call in a thread, torch sets the number that all new threads have.
        torch.get_num_threads()
        torch.set_num_threads(max(n_threads // n_streams, 1))
        ready.wait()

    executor = ThreadPoolExecutor(n_streams, thread_name_prefix="trf_bridge")
    for _ in range(n_streams):
        executor.submit(start)
    ready.wait()
    # The number for new threads, which the other calls have changed.
    torch.set_num_threads(n_threads)
    return executor
