"""One vector for a text: the mean of its wordpieces, or what the model was trained to compute."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy
from spacy.tokens import Doc, Span
from thinc.api import get_array_module

from ... import errors
from ...settings import check_choice
from ...types import Array
from .attributes import piece_rows
from .records import get_outputs, get_pooling, get_wordpieces

CHOICES = ("mean", "cls", "model")


class Part(NamedTuple):
    """What one input of the model contributes to a text.

    rows (float32, (n, width)): The rows of the wordpieces of the text.
    class_row (int): The row of the class token among them; -1 if it is not among them.
    is_whole (bool): Whether these are all wordpieces of the input.
    """

    rows: Array
    class_row: int
    is_whole: bool


def embed(
    docs_or_spans: Doc | Span | Iterable[Doc | Span],
    *,
    pooling: str = "mean",
    normalize: bool = True,
) -> Array:
    """Compute a vector for each of several texts, such as for a search by meaning.

    In contrast to `doc.vector`, which is the mean over tokens, the mean is over the wordpieces that
    the model read, boundary pieces included, as sentence-transformers computes it. If the model
    read a text in several inputs, such as sentences, the vector is the mean of the vectors of
    the inputs, weighted by their numbers of wordpieces: for "mean", the mean over all wordpieces.

    docs_or_spans (Doc, Span, or iterable of them): Texts that have been through the transformer.
        Docs of a stream, such as `nlp.pipe(texts)`, are released one by one. A Span has the
        boundary pieces of an input if it contains all tokens of it.
    pooling (str): "mean", "cls" for the row of the class token, or "model" for the steps in the
        files of sentence-transformers beside the checkpoint, of which there can be several.
    normalize (bool): Divide each vector by its Euclidean length. "model" may do so by itself.
    RETURNS (float32): The vector (width,) of one Doc or Span, or (n_texts, width) for several;
        zeros for a text without wordpieces.
    RAISES (ValueError, TypeError): TB008, TB052, TB053; TB068 if the pooling of the model is not
        known; TB069 for a text without a class token.
    WARNS: TB113 if "model" is used on texts that were read otherwise than by sentence-transformers.
    """
    check_choice("pooling", pooling, CHOICES)
    is_one = isinstance(docs_or_spans, (Doc, Span))
    texts: Any = [docs_or_spans] if is_one else docs_or_spans
    if not isinstance(texts, Iterable):
        raise TypeError(_wrong_type(texts))
    vectors: list[Array] = []
    n_different, limit = 0, None
    for text in texts:
        if not isinstance(text, (Doc, Span)):
            raise TypeError(_wrong_type(text))
        settings = _settings(text, pooling)
        parts = _parts(text)
        vector = _pool(parts, settings["poolings"], text)
        if normalize or settings["normalize"]:
            vector = vector / max(float((vector**2).sum()) ** 0.5, 1e-12)
        vectors.append(vector)
        if pooling == "model" and not _is_read_whole(parts, settings["max_length"]):
            n_different, limit = n_different + 1, settings["max_length"]
    if n_different:
        _warn(n_different, len(vectors), limit)
    if is_one or not vectors:
        return vectors[0] if vectors else numpy.zeros((0, 0), dtype="float32")
    stacked: Array = get_array_module(vectors[0]).stack(vectors)
    return stacked


def _settings(text: Doc | Span, pooling: str) -> dict[str, Any]:
    """Return the settings of a pooling, in the form of `read_pooling`."""
    if pooling != "model":
        return {"poolings": [pooling], "normalize": False, "max_length": None}
    settings = get_pooling(text.doc)
    if settings is None:
        problem = "there was no modules.json of sentence-transformers beside the checkpoint"
        raise ValueError(errors.TB068.format(reason=problem))
    unknown = [name for name in settings["poolings"] if name not in POOL]
    problem = settings["problem"]
    if unknown:
        problem = f"trf_bridge does not compute the pooling {unknown[0]}"
    if problem:
        raise ValueError(errors.TB068.format(reason=problem))
    return settings


def _parts(text: Doc | Span) -> list[Part]:
    """Find the rows of a text, input by input.

    text (Doc, Span): The text.
    RETURNS (list of Part): One for each input that has wordpieces of the text.
    RAISES (ValueError): TB052.
    """
    wordpieces, outputs = get_wordpieces(text.doc), get_outputs(text.doc)
    if wordpieces is None or outputs is None:
        what = "outputs of a transformer"
        message = errors.TB052.format(n_tokens=len(text.doc), what=what, component="trf_tok2vec")
        raise ValueError(message)
    rows = numpy.arange(len(wordpieces))[piece_rows(text)]
    if not len(rows):
        return [Part(outputs.last_hidden_state[rows], -1, is_whole=True)]
    inputs = numpy.searchsorted(numpy.cumsum(wordpieces.lengths), rows, side="right")
    places, starts = numpy.unique(inputs, return_index=True)
    parts = []
    for place, own in zip(places.tolist(), numpy.split(rows, starts[1:]), strict=True):
        found = numpy.flatnonzero(own == wordpieces.class_rows[place])
        class_row = int(found[0]) if len(found) else -1
        is_whole = len(own) == int(wordpieces.lengths[place])
        parts.append(Part(outputs.last_hidden_state[own], class_row, is_whole))
    return parts


def _pool(parts: Sequence[Part], poolings: Sequence[str], text: Doc | Span) -> Array:
    """Compute the vector of a text from its inputs.

    parts (sequence of Part): Its rows in each input.
    poolings (sequence of str): Keys of POOL, whose vectors are joined.
    text (Doc, Span): The text, for errors.
    RETURNS (float32, (width * n_poolings,)): The vector.
    RAISES (ValueError): TB069.
    """
    xp = get_array_module(parts[0].rows)
    n_rows = sum(len(part.rows) for part in parts)
    if not n_rows:
        return xp.zeros((parts[0].rows.shape[1] * len(poolings),), dtype="float32")
    if "cls" in poolings and any(part.class_row < 0 for part in parts):
        raise ValueError(errors.TB069.format(kind=type(text).__name__, n_tokens=len(text)))
    vector: Array = 0.0
    for part in parts:
        pooled = [POOL[name](xp, part) for name in poolings]
        vector = vector + xp.concatenate(pooled) * numpy.float32(len(part.rows) / n_rows)
    return vector


def _class_row(xp: Any, part: Part) -> Array:
    return part.rows[part.class_row]


def _last_row(xp: Any, part: Part) -> Array:
    return part.rows[-1]


def _maximum(xp: Any, part: Part) -> Array:
    return part.rows.max(axis=0)


def _mean(xp: Any, part: Part) -> Array:
    return part.rows.mean(axis=0)


def _sum_by_root(xp: Any, part: Part) -> Array:
    return part.rows.sum(axis=0) / numpy.float32(len(part.rows) ** 0.5)


def _mean_by_place(xp: Any, part: Part) -> Array:
    """Return the mean, weighted by 1 for the first row, 2 for the second and so on."""
    weights = xp.arange(1, len(part.rows) + 1, dtype="float32")
    return (weights @ part.rows) / weights.sum()


# Name of a pooling of sentence-transformers -> function of an array module and a Part.
POOL: dict[str, Callable[[Any, Part], Array]] = {
    "cls": _class_row,
    "max": _maximum,
    "mean": _mean,
    "mean_sqrt_len_tokens": _sum_by_root,
    "weightedmean": _mean_by_place,
    "lasttoken": _last_row,
}


def _is_read_whole(parts: Sequence[Part], max_length: int | None) -> bool:
    """Return whether a text was read as sentence-transformers reads it."""
    (first, *others) = parts
    return not others and first.is_whole and len(first.rows) <= (max_length or len(first.rows))


def _warn(n_different: int, n_texts: int, limit: int | None) -> None:
    most = "" if limit is None else f" of at most {limit} wordpieces"
    setting = "" if limit is None else f" and max_length = {limit}"
    message = errors.TB113.format(
        n_different=n_different, n_texts=n_texts, most=most, setting=setting
    )
    warnings.warn(message, stacklevel=3)


def _wrong_type(got: Any) -> str:
    return errors.TB053.format(
        what="trf_bridge.embed",
        expected="a Doc, a Span, or several of them",
        got=f"an object of the type {type(got).__name__}",
    )
