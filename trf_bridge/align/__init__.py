"""Links between wordpieces and tokens. Works on arrays alone, without spaCy or torch."""

from .apply import apply_alignment
from .offsets import Alignment, align
from .pooling import POOLINGS, join_alignments, link_characters, pool_links

__all__ = [
    "POOLINGS",
    "Alignment",
    "align",
    "apply_alignment",
    "join_alignments",
    "link_characters",
    "pool_links",
]
