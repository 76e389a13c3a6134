"""Links between wordpieces and tokens. Works on arrays alone, without spaCy or torch."""

from .apply import apply_alignment
from .offsets import Alignment, align

__all__ = ["Alignment", "align", "apply_alignment"]
