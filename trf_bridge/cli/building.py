"""Build wheels from recipes and from the folders of saved pipelines."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import errors
from .console import check_file
from .fetching import Checkpoint, fetch, last_line, sha256_of
from .recipes import WEIGHTS, Recipe, load_recipe
from .writing import check_folder, check_output, creating_folder

SAMPLE = "Laced with dreams, dripping in reality."

Step = Callable[[str], None]


def build_recipe(
    path: Path, out: Path, *, cache: Path | None = None, force: bool = False, step: Step
) -> Path:
    """Build the wheel of a recipe. After an error, the output folder is unchanged.

    path (Path): The file of the recipe.
    out (Path): The output folder, which is created.
    cache (Path): The folder in which downloads from the package index are kept; None to keep none.
    force (bool): Replace an existing wheel.
    step (callable): Called at the start of each of three steps, with its title.
    RETURNS (Path): The wheel.
    RAISES (ValueError, TypeError): TB041, TB045, TB046, TB047, TB048; the errors of
        `from_pretrained`.
    """
    recipe = load_recipe(path)
    check_folder(out)
    target = out / recipe.wheel_name
    check_output(target, force=force)
    with creating_folder(out), _build_folder(out) as work:
        step(f"Downloading {recipe.checkpoint}")
        checkpoint = fetch(recipe, cache or work / "downloads", work / "files")
        step(f"Creating the pipeline {recipe.package_name}")
        make_pipeline(recipe, checkpoint, work / "pipeline")
        shutil.rmtree(work / "files", ignore_errors=True)
        step("Building the wheel")
        os.replace(make_wheel(work / "pipeline", work), target)
    return target


def build_pipeline(
    pipeline: Path, out: Path, *, options: Sequence[str] = (), force: bool = False, step: Step
) -> Path:
    """Build the wheel of a saved pipeline. After an error, the output folder is unchanged.

    pipeline (Path): The folder of the pipeline.
    out (Path): The output folder, which is created.
    options (sequence of str): Options of `spacy package`, such as "--version", "1.0.0".
    force (bool): Replace an existing wheel.
    step (callable): Called at the start of the only step, with its title.
    RETURNS (Path): The wheel.
    RAISES (ValueError): TB041, TB044, TB048.
    """
    check_options(options)
    check_folder(out)
    target = out / _wheel_name(pipeline, options)
    check_output(target, force=force)
    with creating_folder(out), _build_folder(out) as work:
        step(f"Building {target.name}")
        wheel = make_wheel(pipeline, work, options)
        target = out / wheel.name
        check_output(target, force=force)
        os.replace(wheel, target)
    return target


@contextlib.contextmanager
def _build_folder(out: Path) -> Iterator[Path]:
    """Create a temporary folder on the same disk as the output."""
    with tempfile.TemporaryDirectory(dir=out.resolve(), prefix=".build-") as folder:
        yield Path(folder)


def check_options(options: Sequence[str]) -> None:
    """Check the name and the version of a package, and that its code files exist.

    `spacy package` and pip would report these errors in many lines.

    options (sequence of str): Options of `spacy package`, each with its value.
    RAISES (ValueError): TB044, TB048.
    """
    from packaging.version import InvalidVersion, Version

    given = dict(zip(options[::2], options[1::2], strict=True))
    name = given.get("--name", "name")
    if not re.fullmatch(r"[A-Za-z](\w*[A-Za-z0-9])?", name, re.ASCII):
        reason = f"expected a valid Python name such as reviews_2, got '{name}'"
        raise ValueError(errors.TB048.format(reason=reason))
    try:
        Version(given.get("--version", "0"))
    except InvalidVersion:
        reason = f"expected a version such as 1.0.0, got '{given['--version']}'"
        raise ValueError(errors.TB048.format(reason=reason)) from None
    for file in filter(None, given.get("--code", "").split(",")):
        check_file(Path(file))


def make_pipeline(recipe: Recipe, checkpoint: Checkpoint, path: Path) -> None:
    """Save the pipeline of a recipe, with the package's meta and license.

    recipe (Recipe): The recipe.
    checkpoint (Checkpoint): The checkpoint's files.
    path (Path): The output folder.
    RAISES (ValueError, TypeError): TB048; the errors of `from_pretrained`.
    """
    import srsly
    from spacy.util import load_config

    import trf_bridge

    nlp = trf_bridge.from_pretrained(checkpoint.path, lang=recipe.lang, **recipe.settings)
    nlp.to_disk(path)
    config = load_config(path / "config.cfg", interpolate=False)
    name_checkpoint(config, recipe.checkpoint, checkpoint.revision)
    config.to_disk(path / "config.cfg", interpolate=False)
    meta = srsly.read_json(path / "meta.json")
    digest = sha256_of(checkpoint.path / WEIGHTS)
    srsly.write_json(path / "meta.json", make_meta(meta, recipe, checkpoint.revision, digest))
    text = recipe.license_path.read_text(encoding="utf8")
    text = text.replace("{author}", recipe.checkpoint_author)
    (path / "LICENSE").write_text(text, encoding="utf8")
    check_pipeline(path, nlp(SAMPLE).tensor)


def name_checkpoint(config: dict[str, Any], name: str, revision: str) -> None:
    """Replace the local folder in every `trf_name` of a config with the public name.

    config (dict): The config; changed.
    name (str): The checkpoint's public name.
    revision (str): Its commit.
    """
    for value in list(config.values()):
        if isinstance(value, dict):
            name_checkpoint(value, name, revision)
    if "trf_name" in config:
        config["trf_name"] = name
        config["revision"] = revision


def make_meta(meta: dict[str, Any], recipe: Recipe, revision: str, sha256: str) -> dict[str, Any]:
    """Add the facts of a package and the source of its weights to a pipeline's meta.

    meta (dict): The meta of the saved pipeline.
    recipe (Recipe): The recipe.
    revision (str): The commit of the checkpoint's files.
    sha256 (str): The hex digest of the checkpoint's weights.
    RETURNS (dict): A new meta.
    """
    from ..about import __version__

    url = f"https://huggingface.co/{recipe.checkpoint}"
    others = [r for r in meta.get("requirements", []) if not r.startswith("trf_bridge")]
    return {
        **meta,
        "lang": recipe.lang,
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "author": recipe.author,
        "license": recipe.license,
        "spacy_version": ">=3.8.0,<4.0.0",
        "requirements": [f"trf_bridge>={__version__},<1.0.0", *others],
        "sources": [
            {
                "name": recipe.checkpoint,
                "url": url,
                "author": recipe.checkpoint_author,
                "license": recipe.license,
                "revision": revision,
                "sha256": sha256,
            }
        ],
        "notes": (
            f"Weights from [{recipe.checkpoint}]({url}), revision `{revision}`. "
            f"sha256 of `{WEIGHTS}`: `{sha256}`."
        ),
    }


def check_pipeline(path: Path, expected: Any) -> None:
    """Check that a saved pipeline computes the same numbers as before it was saved.

    path (Path): The folder of the pipeline.
    expected (float32, (n_tokens, width)): The earlier `doc.tensor` of SAMPLE.
    RAISES (ValueError): TB048.
    """
    import numpy
    import spacy

    got = spacy.load(path)(SAMPLE).tensor
    if not numpy.array_equal(numpy.asarray(got), numpy.asarray(expected)):
        reason = "the saved pipeline does not compute the same numbers as before it was saved"
        raise ValueError(errors.TB048.format(reason=reason))


def make_wheel(path: Path, work: Path, options: Sequence[str] = ()) -> Path:
    """Build a package with `spacy package`, and its wheel with pip.

    path (Path): The folder of the pipeline.
    work (Path): A temporary folder.
    options (sequence of str): Options of `spacy package`.
    RETURNS (Path): The wheel, in the temporary folder.
    RAISES (ValueError): TB048.
    """
    package, wheels = work / "package", work / "wheel"
    package.mkdir()
    # With -m, Python imports from the working folder first, so the commands run in an empty one.
    arguments = [str(path.resolve()), str(package), "--build", "none", *options]
    _run("spacy package", ["spacy", "package", *arguments], package)
    (folder,) = package.iterdir()
    settings = ["--no-deps", "--disable-pip-version-check", *_isolation()]
    _run("pip wheel", ["pip", "wheel", *settings, "--wheel-dir", str(wheels), str(folder)], wheels)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def _run(name: str, command: Sequence[str], folder: Path) -> None:
    """Run a module of this Python, without its output unless it fails."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "ANSI_COLORS_DISABLED": "1", "WASABI_LOG_FRIENDLY": "1"}
    if "--no-build-isolation" in command:
        # pip does not accept both, even if this one comes from the environment.
        environment.pop("PIP_BUILD_CONSTRAINT", None)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        reason = f"`{name}` failed with: {last_line(done.stdout)}"
        output = RuntimeError(done.stdout.decode("utf-8", errors="replace"))
        raise ValueError(errors.TB048.format(reason=reason)) from output


def _isolation() -> list[str]:
    """Return the option of pip that saves a download, if the installed setuptools builds wheels."""
    try:
        major = int(version("setuptools").split(".")[0])
    except PackageNotFoundError:
        return []
    return ["--no-build-isolation"] if major >= 71 else []


def _wheel_name(pipeline: Path, options: Sequence[str]) -> str:
    """Return the file name of a pipeline's wheel."""
    import srsly

    meta = srsly.read_json(pipeline / "meta.json")
    given = dict(zip(options[::2], options[1::2], strict=True))
    name, number = given.get("--name", meta["name"]), given.get("--version", meta["version"])
    if not name.startswith(meta["lang"] + "_"):
        name = f"{meta['lang']}_{name}"
    return re.sub("_+", "_", f"{name}-{number}") + "-py3-none-any.whl"
