"""Where a command writes: refused before the work, or written whole, or left as it was."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .. import errors
from .pipelines import is_pipeline


def check_output(path: Path, *, force: bool, folder: bool = False) -> None:
    """Refuse to replace a file or folder, before any work is done.

    path (Path): Where the output is to be.
    force (bool): Whether it may be replaced. A folder that holds something other than a saved
        pipeline is not replaced in any case, nor is any folder by a file.
    folder (bool): Whether the output is a folder.
    RAISES (ValueError): TB041.
    """
    check_folder(path.parent)
    if not os.path.lexists(path):
        return
    advice = ""
    if path.is_dir() and not folder:
        advice = "It is a folder, and the output is a file: give the path of the file."
    elif not force:
        advice = "Give another path, or --force to replace it."
    elif path.is_dir() and any(path.iterdir()) and not is_pipeline(path):
        advice = "It is no saved pipeline, so --force doesn't replace it: give another path."
    if advice:
        raise ValueError(errors.TB041.format(path=path, advice=advice))


def check_folder(path: Path) -> None:
    """See that there is a folder, or that one can be made.

    path (Path): The folder.
    RAISES (ValueError): TB041 where a file stands in its way.
    """
    there = next((p for p in (path, *path.parents) if os.path.lexists(p)), path)
    if os.path.lexists(there) and not there.is_dir():
        advice = "It is no folder, and nothing can be put into it: give another path."
        raise ValueError(errors.TB041.format(path=there, advice=advice))


@contextlib.contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder, and those above it; if the block raises, remove what is still empty of them.

    path (Path): The folder, there already or not.
    YIELDS: Nothing.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            # Somebody else may have put something there by now.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Write a file beside its place, and move it there when everything has been written.

    If the block raises, everything is as it was, down to the folders.

    path (Path): The file to write, there already or not; its folder is made.
    YIELDS (Path): An empty file to write to.
    """
    with made_folder(path.parent):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(descriptor)
        staged = Path(name)
        try:
            yield staged
            staged.chmod(0o666 & ~_umask())  # a temporary file is readable to its owner alone
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
