"""Links between wordpieces and tokens, on arrays alone: no spaCy, no torch."""

from .apply import apply_alignment
from .offsets import Alignment, align

__all__ = ["Alignment", "align", "apply_alignment"]
