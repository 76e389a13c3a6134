"""Files of checkpoints and saved components: reading, writing, and what goes wrong on the way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import errors
from ..about import __version__

# The layout of what `to_bytes` and `to_disk` write. Raise it when an older version could no longer
# read the files.
FORMAT = 1


def check_format(found: Any, path: object) -> None:
    """Check that this version can read a file.

    found (int): The format that the file names.
    path (object): The file, for the message.
    RAISES (ValueError): TB005.
    """
    if not isinstance(found, int) or found > FORMAT:
        message = errors.TB005.format(path=path, found=found, known=FORMAT, version=__version__)
        raise ValueError(message)


def read_json(path: Path) -> dict[str, Any]:
    """Read a settings file of a saved component.

    path (Path): The file.
    RETURNS (dict): Its content.
    RAISES (ValueError): TB006.
    """
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        if not isinstance(content, dict):
            raise ValueError("expected an object")
    except (OSError, ValueError) as error:
        raise ValueError(errors.TB006.format(path=path, reason=error)) from error
    return content


def save_files(saveable: Any, folder: Path) -> None:
    """Save what has a `save_pretrained` method into a folder, the weights in one file.

    saveable (PreTrainedModel, PreTrainedTokenizerBase): What to save.
    folder (Path): An existing folder.
    """
    options = {} if hasattr(saveable, "all_special_ids") else {"max_shard_size": "1000GB"}
    with no_progress_bar():
        saveable.save_pretrained(folder, **options)


def files_to_bytes(saveable: Any) -> dict[str, bytes]:
    """Save what has a `save_pretrained` method, and read the files back.

    saveable (PreTrainedModel, PreTrainedTokenizerBase): What to save.
    RETURNS (dict): The content of each file, by name.
    """
    with TemporaryDirectory() as folder:
        save_files(saveable, Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@contextlib.contextmanager
def files_from_bytes(files: dict[str, bytes]) -> Iterator[Path]:
    """Lay files out in a temporary folder, for what can only be loaded from one.

    files (dict): The content of each file, by name.
    YIELDS (Path): The folder, there until the block ends.
    """
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        yield Path(folder)


@contextlib.contextmanager
def coded_errors(trf_name: str, message: str, **details: str) -> Iterator[None]:
    """Give whatever the libraries raise while they read a checkpoint a code and advice."""
    try:
        yield
    except Exception as error:  # tokenizers raises no narrower kind, and a broken file may any
        if str(error).startswith("[TB"):
            raise
        reason = " ".join(str(error).split())
        if "trust_remote_code" in reason:
            message = errors.TB016
        text = message.format(trf_name=trf_name, reason=reason, **details)
        raise ValueError(text) from error


def loading_options(trf_name: str, revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if Path(trf_name).is_dir():
        options["local_files_only"] = True
    elif revision is not None:
        options["revision"] = revision
    return options


@contextlib.contextmanager
def no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing a bar for a fraction of a second of work."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
