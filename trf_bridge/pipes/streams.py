"""Streams of Docs in batches that are smaller where Docs are long."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from spacy.tokens import Doc

# The outputs of a batch stay in memory until its last Doc has been taken. This many tokens are
# enough sentences to sort, and two subbatches; more would only take more memory.
MAX_TOKENS = 1 << 12


def annotate_stream(
    component: Any, stream: Iterable[Doc], batch_size: int, *, max_tokens: int = MAX_TOKENS
) -> Iterator[Doc]:
    """Run a component on a stream of Docs, and release each Doc as it is yielded.

    component (Pipe): A component with `predict` and `set_annotations`.
    stream (iterable of Doc): The Docs; changed.
    batch_size (int): The maximum number of Docs in a batch.
    max_tokens (int): The maximum number of tokens in a batch; a longer Doc is a batch of its own.
    YIELDS (Doc): The same Docs, in order, without those that the error handler drops.
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
    """Annotate a batch, and return an exception for the pipeline's error handler."""
    docs = list(batch)
    try:
        component.set_annotations(docs, component.predict(docs))
    except Exception as error:
        return error
    return None


def bounded_batches(
    stream: Iterable[Doc], size: int, max_tokens: int = MAX_TOKENS
) -> Iterator[deque[Doc]]:
    """Split a stream of Docs into batches with limited numbers of Docs and of tokens.

    stream (iterable of Doc): The Docs.
    size (int): The maximum number of Docs in a batch.
    max_tokens (int): The maximum number of tokens in a batch; a longer Doc is a batch of its own.
    YIELDS (deque of Doc): Batches. The caller that pops a Doc holds its last reference.
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
