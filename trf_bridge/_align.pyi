from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

def trim_spans(texts: list[str], n_pieces: Array, spans: Array, out: Array) -> None: ...
def overlap(
    tokens: Array,
    bounds: Array,
    texts: Array,
    spans: Array,
    pieces: Array,
    lengths: Array,
    covered: Array,
    ranges: Array,
) -> None: ...
def count_links(ranges: Array, lengths: Array) -> int: ...
def fill_links(
    ranges: Array, first_row: Array, cursors: Array, rows: Array, shares: Array
) -> None: ...
def gather_sum(inputs: Array, rows: Array, weights: Array, lengths: Array, out: Array) -> None: ...
def scatter_add(
    d_out: Array, rows: Array, weights: Array, lengths: Array, d_inputs: Array
) -> None: ...
