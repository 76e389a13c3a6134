"""How many wordpieces run at once on a CPU: as many as its caches have room for.

A layer reads what it has just written. Where a subbatch is larger than the caches, it waits for
memory; where it is smaller, the products have too few rows to be fast.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The arrays of a layer may be this many times as large as the cache of level 2 of a core. Measured
# with MiniLM on two cores: on AMD's Zen 4 (1 MiB) the speed is highest from about 1,300 to 2,000
# wordpieces, and 5% to 8% lower at 650; on an Intel with AMX (2 MiB) from 1,000 to 2,000.
LEVEL_2_SIZES = 20

# Size of that cache where the system does not report it, in bytes.
DEFAULT_LEVEL_2 = 1 << 20


def rows_in_caches(model: PreTrainedModel, width: int, dtype: torch.dtype) -> int:
    """Return how many wordpieces to run at once on a CPU.

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
    size = LEVEL_2_SIZES * level_2_size()
    return max(size // (dtype.itemsize * (2 * widest + 4 * width)), 1)


@cache
def level_2_size() -> int:
    """Return the size of the cache of level 2 of a core, in bytes.

    RETURNS (int): The size that Linux reports; 1 MiB on other systems.
    """
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, size = ((folder / name).read_text().strip() for name in ("level", "size"))
        except OSError:
            continue
        if level == "2" and size.endswith("K") and size[:-1].isdigit():
            return int(size[:-1]) << 10
    return DEFAULT_LEVEL_2
