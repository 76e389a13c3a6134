"""What one token gets of a wordpiece that several tokens share."""

from __future__ import annotations

import numpy

from ..types import Array


def share_weights(shares: Array, dtype: str = "float32") -> Array:
    """Divide each wordpiece evenly between the tokens that are linked to it.

    The weights of one wordpiece add up to one, so the sum over all tokens is the sum over all
    wordpieces and nothing is lost.

    shares (int32, (n_links,)): Number of tokens linked to the wordpiece of each link.
    RETURNS (float32, (n_links,)): 1 / shares.
    """
    return numpy.reciprocal(shares, dtype=dtype)
