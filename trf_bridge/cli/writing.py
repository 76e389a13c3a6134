"""Write output files: check the place before any work, then write all of a file or nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .. import errors
from .pipelines import is_pipeline


def check_output(path: Path, *, force: bool, folder: bool = False) -> None:
    """Check that an output does not replace a file or folder, before any work is done.

    path (Path): The output.
    force (bool): Whether it may be replaced. A folder with other contents than a saved pipeline is
        never replaced, and a folder is never replaced by a file.
    folder (bool): Whether the output is a folder.
    RAISES (ValueError): TB041.
    """
    check_folder(path.parent)
    if not os.path.lexists(path):
        return
    advice = ""
    if path.is_dir() and not folder:
        advice = "It is a folder, and the output is a file. Give the path of a file."
    elif not force:
        advice = "Give another path, or replace it with --force."
    elif path.is_dir() and any(path.iterdir()) and not is_pipeline(path):
        advice = "It is not a saved pipeline, so --force does not replace it. Give another path."
    if advice:
        raise ValueError(errors.TB041.format(path=path, advice=advice))


def check_folder(path: Path) -> None:
    """Check that a folder exists or can be created.

    path (Path): The folder.
    RAISES (ValueError): TB041 if the path or one of its parents is a file.
    """
    existing = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
    if os.path.lexists(existing) and not existing.is_dir():
        advice = "It is not a folder. Give another path."
        raise ValueError(errors.TB041.format(path=existing, advice=advice))


@contextlib.contextmanager
def creating_folder(path: Path) -> Iterator[None]:
    """Create a folder and its parents. If the block raises, remove those that are still empty.

    path (Path): The folder. It may exist.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            # Another process may have written into it in the meantime.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Write to a temporary file beside a file, and replace the file when the block ends.

    If the block raises, nothing is changed, and no folder is left.

    path (Path): The file. It may exist, and its folder is created.
    YIELDS (Path): The temporary file.
    """
    with creating_folder(path.parent):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
        staged = Path(name)
        try:
            yield staged
            staged.chmod(0o666 & ~_umask())  # only its owner can read a temporary file
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)


def _umask() -> int:
    """Return the permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
