"""The two records that travel between the rooms: what goes into the model, what comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

# numpy's on the CPU, cupy's on a GPU, thinc's protocols in its signatures: there is no common type.
# What a type checker can't know, dtype and shape, stands in the docstrings.
Array: TypeAlias = Any


class Runs(NamedTuple):
    """What each window of a long input runs through the model: its own rows and its neighbours'.

    rows (int32, (n_run,)): Rows of the Doc's wordpieces, window after window.
    lengths (int32, (n_inputs,)): How many of them each window has.
    text_spans (int32, (n_inputs, 2)): Characters of `doc.text` that each window was cut from: its
        whole sentence.
    mean (bool): Whether a row is the mean over all windows that read it, and not that of the
        window whose own it is.
    """

    rows: Array
    lengths: Array
    text_spans: Array
    mean: bool = False


@dataclass(frozen=True)
class Wordpieces:
    """The wordpieces of one Doc, input after input.

    An input is what the model reads at once: a sentence, a pair of texts, or a window of either.

    ids (int32, (n_wp,)): Index of each wordpiece in the model's vocabulary.
    type_ids (int32, (n_wp,)): Segment of each wordpiece; None where the tokenizer gives none,
        which is not the same as zeros: GPT-2 adds an embedding for a zero.
    offsets (int32, (n_wp, 2)): Character start and end in `doc.text`, as the tokenizer gives them.
    boundary (bool, (n_wp,)): Pieces that the tokenizer added, such as `[CLS]`.
    lengths (int32, (n_inputs,)): Wordpieces of each input.
    spans (int32, (n_inputs, 2)): Characters of `doc.text` that each input covers. What was cut off
        past the maximum length is not covered; of a pair, `segments` says so. Windows whose rows
        are means cover all that they read, so they overlap; others cover what they answer for.
    class_rows (int32, (n_inputs,)): The class token of each input, such as `[CLS]`; -1 where the
        tokenizer has none.
    joined (str): The wordpieces as the vocabulary writes them, with marks such as `##`, `Ġ` or `▁`,
        each through `escape_piece`, separated by NUL; one string takes a tenth of the memory of a
        list.
    runs (Runs): For inputs of which some are windows: what each reads. None where there are no
        windows.
    segments (int32, (n_inputs, 3, 2)): For a pair of texts: the characters of `doc.text` that each
        input covers of the first text, of the separator and of the second. None where the Doc is
        no pair.
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

    @property
    def strings(self) -> list[str]:
        """RETURNS (list of str, (n_wp,)): The wordpieces as the vocabulary writes them."""
        if not len(self):
            return []
        pieces = self.joined.split("\0")
        return [_unescape(piece) for piece in pieces] if "\\" in self.joined else pieces


@dataclass(frozen=True)
class Activations:
    """What the model gave for one Doc, or the gradient of a loss with respect to it.

    last_hidden_state (float32, (n_wp, width)): In a gradient it may be None.
    pooler_output (float32, (n_inputs, width)): None where the model has no pooler. A sentence in
        windows has one for each window.
    hidden_states (float32, (layers + 1, n_wp, width)): None unless asked for.
    attentions (list of float32, each (layers, heads, length, length)): One per input; None unless
        asked for. Rows are the queries, as in transformers. A sentence in windows has one for each
        window, of all that it reads: `runs` says which wordpieces these are.
    """

    last_hidden_state: Array
    pooler_output: Array = None
    hidden_states: Array = None
    attentions: list[Array] | None = None

    def copy(self) -> Activations:
        """Copy the arrays, so that keeping one Doc does not keep its whole batch in memory.

        RETURNS (Activations): The same values in arrays of their own.
        """
        return replace(
            self,
            last_hidden_state=_copy(self.last_hidden_state),
            pooler_output=_copy(self.pooler_output),
            hidden_states=_copy(self.hidden_states),
            attentions=None if self.attentions is None else [a.copy() for a in self.attentions],
        )


def escape_piece(piece: str) -> str:
    """Write a wordpiece so that NUL can separate it from others: some vocabularies have a NUL.

    piece (str): A wordpiece.
    RETURNS (str): The same without NUL.
    """
    return piece.replace("\\", "\\\\").replace("\0", "\\0")


def _unescape(piece: str) -> str:
    return "\\".join([part.replace("\\0", "\0") for part in piece.split("\\\\")])


def _copy(array: Array | None) -> Array | None:
    return None if array is None else array.copy()
