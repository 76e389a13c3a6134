"""One torch thread in a forked process."""

from __future__ import annotations

import os

import torch


class ForkGuard:
    """Notices that the process is a fork of the one that made it."""

    def __init__(self) -> None:
        """Remember the process."""
        self._pid = os.getpid()

    def check(self) -> None:
        """Give torch one thread if this is a forked process; call before torch does any work."""
        if os.getpid() != self._pid:
            torch.set_num_threads(1)
            self._pid = os.getpid()

    def __reduce__(self) -> tuple[type[ForkGuard], tuple[()]]:
        # Unpickled in a process of its own, which is not a fork of anything.
        return ForkGuard, ()
