"""See that the source distribution and the wheel of trf_bridge hold what they should.

python packaging/check_dist.py dist
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
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


def names_in(path: Path) -> list[str]:
    """The files of a wheel, or of a source distribution without its top folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def faults_of(path: Path) -> list[str]:
    """What is missing from one distribution, and what should not be there."""
    names = names_in(path)
    wheel = path.suffix == ".whl"
    faults = [f"lacks {name}" for name in (IN_BOTH if wheel else IN_SDIST) if name not in names]
    compiled = [name for name in names if name.endswith(COMPILED)]
    if wheel and not compiled:
        faults.append("lacks the compiled module")
    if wheel:
        homes = ("trf_bridge/", "trf_bridge-")
        faults += [f"holds {name}" for name in names if not name.startswith(homes)]
    else:
        faults += [f"holds {name}" for name in compiled]
    return faults + [f"holds {name}" for name in names if name.endswith(NEVER)]


def main(folder: Path) -> int:
    paths = [*folder.glob("trf_bridge-*.tar.gz"), *folder.glob("trf_bridge-*.whl")]
    if len(paths) < 2:
        print(f"error: {folder} lacks a source distribution or a wheel", file=sys.stderr)
        return 1
    faults = [f"{path.name} {fault}" for path in paths for fault in faults_of(path)]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        print("\n".join(f"{path.name}: {len(names_in(path))} files, complete" for path in paths))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
