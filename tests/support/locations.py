"""Folders outside of the checkout that some tests read."""

from __future__ import annotations

import os
from pathlib import Path

# Another folder, or one that does not exist, to run the tests without the data.
DEFAULT = Path(__file__).resolve().parents[3] / "shared"
SHARED = Path(os.environ.get("TRF_BRIDGE_TEST_SHARED", DEFAULT))
