"""A description of the machine that runs the benchmark."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

# Instruction sets that determine which precision is fast.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine(threads: int) -> dict[str, Any]:
    """Describe the machine.

    threads (int): Threads of each system.
    RETURNS (dict): The processor, its instruction sets, the operating system and the current load.
    """
    fields = read_cpuinfo()
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "instructions": {name: name in flags for name in INSTRUCTIONS},
        "cores": available_cores(),
        "threads": threads,
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def read_cpuinfo(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Read the fields of the first core from Linux; an empty dict on other systems."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf8").split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
