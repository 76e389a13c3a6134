"""The two records that the rooms exchange: the input of the model and its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

# An array of numpy on the CPU and of cupy on a GPU; thinc's signatures use protocols. There is no
# common type, so the docstrings give dtype and shape.
Array: TypeAlias = Any


class Runs(NamedTuple):
    """The wordpieces that each input reads, where long texts are read in windows.

    A window reads its own wordpieces and, as context, wordpieces of its neighbours.

    rows (int32, (n_read,)): Rows of the Doc's wordpieces, input after input.
    lengths (int32, (n_inputs,)): Number of wordpieces that each input reads.
    text_spans (int32, (n_inputs, 2)): Character start and end in `doc.text` of the text that each
        window is part of, such as a sentence.
    mean (bool): Whether the output for a wordpiece is the mean over all windows that read it,
        instead of the output of the window that it belongs to.
    """

    rows: Array
    lengths: Array
    text_spans: Array
    mean: bool = False

    def __repr__(self) -> str:
        return describe(self, self._asdict())


@dataclass(frozen=True, repr=False)
class Wordpieces:
    """The wordpieces of one Doc, input after input.

    An input is what the model reads at once: a sentence, a pair of texts, or a window of either.

    ids (int32, (n_wp,)): Index of each wordpiece in the model's vocabulary.
    type_ids (int32, (n_wp,)): Segment of each wordpiece. None if the tokenizer returns none, which
        is not the same as zeros: GPT-2 adds an embedding for a zero.
    offsets (int32, (n_wp, 2)): Character start and end in `doc.text`, as the tokenizer returns
        them.
    boundary (bool, (n_wp,)): Whether the tokenizer added the wordpiece, such as `[CLS]`.
    lengths (int32, (n_inputs,)): Number of wordpieces of each input.
    spans (int32, (n_inputs, 2)): Characters of `doc.text` that each input covers, without those
        that were truncated; for a pair, `segments` is more precise. A window covers the characters
        of its own wordpieces. If rows are means, it covers all that it reads, and windows overlap.
    class_rows (int32, (n_inputs,)): Row of the class token of each input, such as `[CLS]`; -1 if
        the tokenizer has none.
    joined (str): The strings of the wordpieces in the vocabulary, with marks such as `##`, `Ġ` or
        `▁`, each through `escape_piece`, separated by NUL. One string takes a tenth of the memory
        of a list.
    runs (Runs): The wordpieces that each input reads; None if there are no windows.
    segments (int32, (n_inputs, 3, 2)): For a pair of texts: the characters of `doc.text` that each
        input covers of the first text, of the separator and of the second text. None if the Doc is
        not a pair.
    """

    ids: Array
    type_ids: Array | None
    offsets: Array
    boundary: Array
    lengths: Array
    spans: Array
    class_rows: Array
    joined: str = ""
    runs: Runs | None = None
    segments: Array | None = None

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    def __repr__(self) -> str:
        return describe(self, vars(self))

    @property
    def strings(self) -> list[str]:
        """Return the strings of the wordpieces in the vocabulary.

        RETURNS (list of str, (n_wp,)): The strings.
        """
        if not len(self):
            return []
        pieces = self.joined.split("\0")
        return [_unescape(piece) for piece in pieces] if "\\" in self.joined else pieces


@dataclass(frozen=True, repr=False)
class Activations:
    """The model's output for one Doc, or the gradient of a loss with respect to it.

    last_hidden_state (float32, (n_wp, width)): Output of the last layer. May be None in a gradient.
    pooler_output (float32, (n_inputs, width)): None if the model has no pooler. A text in windows
        has one row for each window.
    hidden_states (float32, (layers + 1, n_wp, width)): Output of the embeddings and of all layers;
        None unless `output_hidden_states` is set.
    attentions (list of float32, each (layers, heads, length, length)): Attention weights of each
        input, with the queries in rows, as in transformers; None unless `output_attentions` is set.
        A text in windows has one array for each window, over all wordpieces that it reads, which
        `runs` lists.
    """

    last_hidden_state: Array
    pooler_output: Array = None
    hidden_states: Array = None
    attentions: list[Array] | None = None

    def __repr__(self) -> str:
        return describe(self, vars(self))

    def copy(self) -> Activations:
        """Copy the arrays.

        Views of a batch would keep the whole batch in memory for as long as one Doc is kept.

        RETURNS (Activations): The copy.
        """
        return replace(
            self,
            last_hidden_state=_copy(self.last_hidden_state),
            pooler_output=_copy(self.pooler_output),
            hidden_states=_copy(self.hidden_states),
            attentions=None if self.attentions is None else [a.copy() for a in self.attentions],
        )


def describe(record: Any, fields: Mapping[str, Any]) -> str:
    """Write a record with types and shapes instead of the numbers and the text in it.

    record: The record.
    fields (dict): The values of its fields by name.
    RETURNS (str): Its class, with a short description of each field.
    """
    described = ", ".join(f"{name}={_describe_value(value)}" for name, value in fields.items())
    return f"{type(record).__name__}({described})"


def _describe_value(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"{value.dtype} {tuple(value.shape)}"
    if isinstance(value, list):
        return f"[{', '.join(map(_describe_value, value[:3]))}{', ...' if len(value) > 3 else ''}]"
    return f"<{len(value)} characters>" if isinstance(value, str) else repr(value)


def escape_piece(piece: str) -> str:
    """Escape NUL in a wordpiece, so that NUL can separate wordpieces. Some vocabularies contain it.

    piece (str): A wordpiece.
    RETURNS (str): The wordpiece without NUL.
    """
    return piece.replace("\\", "\\\\").replace("\0", "\\0")


def _unescape(piece: str) -> str:
    """Undo `escape_piece`."""
    return "\\".join([part.replace("\\0", "\0") for part in piece.split("\\\\")])


def _copy(array: Array | None) -> Array | None:
    """Copy an array; None remains None."""
    return None if array is None else array.copy()
