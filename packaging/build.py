"""Build the wheel of a pretrained pipeline from a recipe in packaging/recipes.

    python packaging/build.py en_trf_bert --output dist

This runs `python -m spacy trf package packaging/recipes/en_trf_bert.cfg dist`: recipes are given
by name, and downloads are kept in .cache/packaging.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trf_bridge.cli.building import build_recipe

HERE = Path(__file__).resolve().parent
RECIPES = HERE / "recipes"
CACHE = HERE.parent / ".cache" / "packaging"


def list_recipes() -> list[str]:
    """List the names of the recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.cfg"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the wheel and return the exit status."""
    names = ", ".join(list_recipes())
    parser = argparse.ArgumentParser(description="Build the wheel of a pretrained pipeline.")
    parser.add_argument("recipe", help=f"name of a recipe: {names}")
    parser.add_argument("--output", type=Path, default=Path("dist"), help="default: %(default)s")
    parser.add_argument("--cache", type=Path, default=CACHE, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace an existing wheel")
    options = parser.parse_args(arguments)
    if options.recipe not in list_recipes():
        message = f"There is no recipe '{options.recipe}'. Expected one of: {names}."
        print(f"error: {message}", file=sys.stderr)
        return 1
    try:
        wheel = build_recipe(
            RECIPES / f"{options.recipe}.cfg",
            options.output,
            cache=options.cache,
            force=options.force,
            step=print,
        )
    except (OSError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Built {wheel} ({wheel.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
