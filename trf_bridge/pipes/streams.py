"""Streams of Docs in batches that stay small where the Docs are long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from spacy.tokens import Doc

# What a batch gives stays in memory until its last Doc has been taken. With this many tokens there
# are enough sentences to sort, and two subbatches; more would only take more memory.
MAX_TOKENS = 1 << 12


def annotate_stream(
    component: Any, stream: Iterable[Doc], batch_size: int, *, max_tokens: int = MAX_TOKENS
) -> Iterator[Doc]:
    """Let a component annotate a stream of Docs, and let go of each as it is handed on.

    component (Pipe): Has `predict` and `set_annotations`.
    stream (iterable of Doc): The Docs; changed.
    batch_size (int): The most Docs to take at once.
    max_tokens (int): The most tokens to take at once; a Doc that is longer is taken by itself.
    YIELDS (Doc): The same, in order, but for those that the error handler drops.
    """
    error_handler = component.get_error_handler()
    for batch in bounded_batches(stream, batch_size, max_tokens):
        error = _annotate(component, batch)
        if error is None:
            while batch:
                yield batch.popleft()
        else:
            error_handler(component.name, component, list(batch), error)


def _annotate(component: Any, batch: Iterable[Doc]) -> Exception | None:
    """Annotate a batch; what went wrong is for the pipeline's error handler, as in spaCy's own."""
    docs = list(batch)
    try:
        component.set_annotations(docs, component.predict(docs))
    except Exception as error:
        return error
    return None


def bounded_batches(
    stream: Iterable[Doc], size: int, max_tokens: int = MAX_TOKENS
) -> Iterator[deque[Doc]]:
    """Cut a stream of Docs into batches that hold neither too many Docs nor too many tokens.

    stream (iterable of Doc): The Docs.
    size (int): The most Docs of a batch.
    max_tokens (int): The most tokens of a batch; a Doc that is longer is one by itself.
    YIELDS (deque of Doc): Batches. Who takes the Docs out of one is the last to hold them.
    """
    batch: deque[Doc] = deque()
    n_tokens = 0
    for doc in stream:
        if batch and n_tokens + len(doc) > max_tokens:
            yield batch
            batch, n_tokens = deque(), 0
        batch.append(doc)
        n_tokens += len(doc)
        if len(batch) >= size or n_tokens >= max_tokens:
            yield batch
            batch, n_tokens = deque(), 0
    if batch:
        yield batch
