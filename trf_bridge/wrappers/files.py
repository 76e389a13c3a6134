"""Files of checkpoints and of saved components: reading, writing and errors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import errors
from ..about import __version__

# The format of the files that `to_bytes` and `to_disk` write. Increase it if older versions cannot
# read the new files.
FORMAT = 1


def check_format(found: Any, path: object) -> None:
    """Check that this version can read the format of a file.

    found (int): The format in the file.
    path (object): The file, for the message.
    RAISES (ValueError): TB005.
    """
    if not isinstance(found, int) or found > FORMAT:
        message = errors.TB005.format(path=path, found=found, known=FORMAT, version=__version__)
        raise ValueError(message)


def read_json(path: Path) -> dict[str, Any]:
    """Read the settings file of a saved component.

    path (Path): The file.
    RETURNS (dict): The settings.
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
    """Save a model or a tokenizer of transformers into a folder, with the weights in one file.

    saveable (PreTrainedModel, PreTrainedTokenizerBase): The model or the tokenizer.
    folder (Path): An existing folder.
    """
    options = {} if hasattr(saveable, "all_special_ids") else {"max_shard_size": "1000GB"}
    with no_progress_bar():
        saveable.save_pretrained(folder, **options)


def files_to_bytes(saveable: Any) -> dict[str, bytes]:
    """Serialize a model or a tokenizer of transformers to the bytes of its files.

    saveable (PreTrainedModel, PreTrainedTokenizerBase): The model or the tokenizer.
    RETURNS (dict): The content of each file, by name.
    """
    with TemporaryDirectory() as folder:
        save_files(saveable, Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@contextlib.contextmanager
def files_from_bytes(files: dict[str, bytes]) -> Iterator[Path]:
    """Write files to a temporary folder, for loaders that only accept a folder.

    files (dict): The content of each file, by name.
    YIELDS (Path): The folder, which is deleted at the end of the block.
    """
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        yield Path(folder)


@contextlib.contextmanager
def coded_errors(trf_name: str, message: str, **details: str) -> Iterator[None]:
    """Convert errors of the libraries that read a checkpoint to an error with a code and advice.

    trf_name (str): The checkpoint, for the message.
    message (str): A template of `errors`, with fields for the checkpoint and the reason.
    details (str): Values of other fields of the template.
    RAISES (ValueError): The message; TB016 if the checkpoint needs `trust_remote_code`.
    """
    try:
        yield
    except Exception as error:  # tokenizers raises no narrower class, and broken files raise any
        if str(error).startswith("[TB"):
            raise
        reason = " ".join(str(error).split())
        if "trust_remote_code" in reason:
            message = errors.TB016
        text = message.format(trf_name=trf_name, reason=reason, **details)
        raise ValueError(text) from error


def loading_options(trf_name: str, revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    """Build the keyword arguments for the `from_pretrained` methods of transformers.

    trf_name (str): A folder, or a name on the Hugging Face hub.
    revision (str): Branch, tag or commit on the hub; None for the main branch.
    trust_remote_code (bool): Whether to run code that comes with the checkpoint.
    RETURNS (dict): The arguments. A folder is read without the network.
    """
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if Path(trf_name).is_dir():
        options["local_files_only"] = True
    elif revision is not None:
        options["revision"] = revision
    return options


@contextlib.contextmanager
def no_progress_bar() -> Iterator[None]:
    """Turn off the progress bars of transformers, for work that takes a fraction of a second."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
