"""Check the files in the source distribution and the wheels of trf_bridge.

    python packaging/check_dist.py dist
    python packaging/check_dist.py dist --tag v0.1.0

With a tag, the version in the file names must be that of the tag.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

IN_BOTH = [
    "trf_bridge/__init__.py",
    *(f"trf_bridge/pictures/assets/{name}" for name in ("alignment.js", "matrix.js", "style.css")),
    "trf_bridge/_align.pyi",
    "trf_bridge/_align.pyx",
    "trf_bridge/cli/licenses/Apache-2.0.txt",
    "trf_bridge/py.typed",
]
IN_SDIST = [*IN_BOTH, "LICENSE", "README.md", "constraints.txt", "pyproject.toml", "setup.py"]
COMPILED = (".so", ".pyd")
NEVER = (".c", ".pyc")


def list_files(path: Path) -> list[str]:
    """List the files of a wheel, or of a source distribution without its top folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def find_faults(path: Path) -> list[str]:
    """Find files that are missing from a distribution, and files that must not be in it."""
    names = list_files(path)
    wheel = path.suffix == ".whl"
    faults = [f"lacks {name}" for name in (IN_BOTH if wheel else IN_SDIST) if name not in names]
    compiled = [name for name in names if name.endswith(COMPILED)]
    if wheel and not compiled:
        faults.append("lacks the compiled module")
    if wheel:
        homes = ("trf_bridge/", "trf_bridge-")
        faults += [f"contains {name}" for name in names if not name.startswith(homes)]
    else:
        faults += [f"contains {name}" for name in compiled]
    return faults + [f"contains {name}" for name in names if name.endswith(NEVER)]


def check(folder: Path, tag: str | None) -> tuple[list[Path], list[str]]:
    """Check all distributions in a folder.

    folder (Path): The folder.
    tag (str or None): Git tag of the release, "v" and the version; None for any version.
    RETURNS (tuple of list of Path, list of str): The distributions, and their faults.
    """
    sdists = sorted(folder.glob("trf_bridge-*.tar.gz"))
    wheels = sorted(folder.glob("trf_bridge-*.whl"))
    faults = []
    if not sdists:
        faults.append(f"{folder} lacks a source distribution")
    if not wheels:
        faults.append(f"{folder} lacks a wheel")
    for path in [*sdists, *wheels]:
        faults += [f"{path.name} {fault}" for fault in find_faults(path)]
        version = path.name.removesuffix(".tar.gz").split("-")[1]
        if tag is not None and tag != f"v{version}":
            faults.append(f"{path.name} has another version than the tag {tag}")
    return [*sdists, *wheels], faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the distributions of trf_bridge.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--tag", help="git tag of the release, such as v0.1.0")
    options = parser.parse_args(arguments)
    paths, faults = check(options.folder, options.tag)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        print("\n".join(f"{path.name}: {len(list_files(path))} files, complete" for path in paths))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
