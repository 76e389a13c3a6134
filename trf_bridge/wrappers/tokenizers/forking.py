"""What a forked process needs before it can go on with a model that its parent has used.

`nlp.pipe(n_process=2)` forks. Threads don't survive a fork, but both libraries remember that they
had some: OpenMP, under torch, waits for them forever; tokenizers prints five lines of advice and
works on without them.
"""

from __future__ import annotations

import os
import threading

PARALLELISM = "TOKENIZERS_PARALLELISM"


class ForkSafeLock:
    """A lock that a forked process does not find held by a thread that it does not have."""

    def __init__(self) -> None:
        """Make an open lock."""
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


def tokenize_alone_in_forks() -> None:
    """Let forked processes tokenize on one thread, whatever was set, and without advice."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)


_set_by_user: list[str | None] = []


def _before_fork() -> None:
    # tokenizers looks at the variable in the child, before any Python code runs there. With "true"
    # it would wait for the threads that the parent had.
    _set_by_user.append(os.environ.get(PARALLELISM))
    os.environ[PARALLELISM] = "false"


def _after_fork() -> None:
    value = _set_by_user.pop()
    if value is None:
        del os.environ[PARALLELISM]
    else:
        os.environ[PARALLELISM] = value
