"""torch in forked processes."""

from __future__ import annotations

import os

import torch


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
