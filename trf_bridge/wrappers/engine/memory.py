"""Memory of a model's layers on a CPU: kept from one layer to the next.

glibc returns free memory to the system, and the system clears it before it is used again. For the
arrays of a layer that took a tenth of the time of a run in float32. How much memory glibc keeps
follows from the largest array that was freed so far, up to 32 MiB; see M_MMAP_THRESHOLD in
mallopt(3). A program that sets these thresholds, or uses another allocator, is not affected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Just below the largest array that glibc follows, in bytes. glibc keeps twice as much.
FREED = 31 << 20


def keep_freed_memory() -> None:
    """Let glibc keep as much free memory as it does once a large array has been freed."""
    torch.empty(FREED, dtype=torch.uint8)


def max_rows(model: PreTrainedModel, width: int, dtype: torch.dtype) -> int:
    """Return how many wordpieces fit, as a layer's arrays, into the memory that glibc keeps.

    At its peak a layer holds two arrays of the inner width of its feed-forward part and about four
    of its own width.

    model (PreTrainedModel): The model.
    width (int): Width of its output.
    dtype (torch.dtype): Precision that it predicts in.
    RETURNS (int): The number, at least 1.
    SOURCE: Vaswani et al. (2017), Attention Is All You Need, section 3.3.
    """
    widest = width
    for module in model.modules():
        if not isinstance(module, torch.nn.Embedding):
            for weights in module.parameters(recurse=False):
                if weights.dim() == 2:
                    widest = max(widest, *weights.shape)
    return max(2 * FREED // (dtype.itemsize * (2 * widest + 4 * width)), 1)
