"""A description of the machine that runs the benchmark."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

# Instruction sets that determine which precision is fast.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# Load average per core above which other processes would distort the measurements.
MAX_LOAD = 0.3


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Describe the machine.

    RETURNS (dict): The processor, its instruction sets, the operating system and the current load.
    """
    fields = read_cpuinfo()
    return {
        "processor": processor_name(fields),
        "instructions": instructions(fields),
        "cores": available_cores(),
        "load_before": current_load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def instructions(fields: dict[str, str]) -> dict[str, bool]:
    """Return which of the instruction sets a processor has.

    fields (dict): The result of `read_cpuinfo`.
    RETURNS (dict): Whether it has the instruction set, by name.
    """
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {name: name in flags for name in INSTRUCTIONS}


def processor_name(fields: dict[str, str]) -> str:
    """Return the name of the processor.

    Virtual machines often report a name without a number, which several processors share. Their
    family, their model and their best instruction set are added.

    fields (dict): The result of `read_cpuinfo`.
    RETURNS (str): The name, without frequency and marks.
    """
    name = fields.get("model name") or platform.processor() or platform.machine()
    name = " ".join(re.sub(r"\((R|TM)\)|@.*|\bCPU\b", " ", name).split())
    if re.search(r"\d", name) or "cpu family" not in fields:
        return name
    best = [each for each, has in instructions(fields).items() if has][-1:]
    return ", ".join(
        [name, f"family {fields['cpu family']}", f"model {fields.get('model', 'unknown')}", *best]
    )


def folder_name(name: str) -> str:
    """Return the name of the folder for the results of a processor: lower-case words and hyphens.

    name (str): The name of the processor or of the GPU.
    RETURNS (str): The name of the folder.
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def current_load() -> float | None:
    """Return the load average of the last minute; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def check_idle() -> None:
    """Exit if other processes use this machine."""
    load, cores = current_load(), available_cores()
    most = MAX_LOAD * cores
    if load is not None and load > most:
        sys.exit(
            f"Expected a load average of at most {most:.1f} before the run ({MAX_LOAD} for each of "
            f"{cores} cores), got {load:.2f}. Results of a busy machine are not stored. Stop other "
            "programs and wait a minute, or pass --force to store the results in any case."
        )


def read_cpuinfo(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Read the fields of the first core from Linux; an empty dict on other systems."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf8").split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
