"""Forked processes, as in `nlp.pipe(n_process=2)`: locks and tokenizers that keep working in them.

A fork copies the memory of a process and only one of its threads. A lock that another thread holds
stays locked forever in the copy, and tokenizers would wait for threads that are gone.
"""

from __future__ import annotations

import os
import threading
from functools import cache

PARALLELISM = "TOKENIZERS_PARALLELISM"


class ForkSafeLock:
    """A lock that is open in a forked process, even if a thread of the parent held it."""

    def __init__(self) -> None:
        """Create an open lock."""
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if os.getpid() != self._pid:
            self._lock = threading.Lock()
            self._pid = os.getpid()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[ForkSafeLock], tuple[()]]:
        return ForkSafeLock, ()


@cache  # once per process
def guard_forks() -> None:
    """Make tokenizers use one thread in forked processes, without its warning.

    The variable TOKENIZERS_PARALLELISM of the process itself does not change.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)


_saved_values: list[str | None] = []


def _before_fork() -> None:
    """Set the variable for the child."""
    # tokenizers reads the variable in the child, before any Python code runs there. With "true" it
    # would wait for the threads of the parent.
    _saved_values.append(os.environ.get(PARALLELISM))
    os.environ[PARALLELISM] = "false"


def _after_fork() -> None:
    """Restore the variable in the parent."""
    value = _saved_values.pop()
    if value is None:
        del os.environ[PARALLELISM]
    else:
        os.environ[PARALLELISM] = value
