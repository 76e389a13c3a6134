"""What keeps the memory of a model's layers from going back to the system after each of them.

glibc gives free memory back, and the system clears it before it hands it out again: for the arrays
of a layer, that took a tenth of the time of a run in float32. How much glibc keeps follows from the
largest array that was freed so far, up to 32 MiB; see M_MMAP_THRESHOLD in mallopt(3). A program
that sets these thresholds itself, or has another allocator, goes on as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Just under the most that glibc follows, in bytes. It keeps twice as much.
FREED = 31 << 20


def keep_freed_memory() -> None:
    """Let glibc keep as much free memory as it would once a large array had been freed."""
    torch.empty(FREED, dtype=torch.uint8)


def most_rows(model: PreTrainedModel, width: int, dtype: torch.dtype) -> int:
    """Find how many wordpieces a layer can read in the memory that is kept.

    At its fullest there are two arrays of the inner width of its feed-forward part and some four of
    its own, as in the layers of Vaswani et al. (2017).

    model (PreTrainedModel): The model.
    width (int): Width of its output.
    dtype (torch.dtype): Precision that it predicts in.
    RETURNS (int): The number, at least 1.
    """
    widest = width
    for module in model.modules():
        if not isinstance(module, torch.nn.Embedding):
            for weights in module.parameters(recurse=False):
                if weights.dim() == 2:
                    widest = max(widest, *weights.shape)
    return max(2 * FREED // (dtype.itemsize * (2 * widest + 4 * width)), 1)
