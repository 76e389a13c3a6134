"""`spacy trf package`: build the wheel of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ... import errors
from ..console import Force, quiet_downloads, say, steps
from ..pipelines import check_library, find_pipeline


def command(
    pipeline_or_recipe: Annotated[
        str,
        typer.Argument(
            help="The folder of a pipeline, an installed pipeline, or the .cfg file of a recipe."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The output folder.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--name", "-n", help="Name of the package; not for recipes.", show_default=False
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--version", "-v", help="Version of the package; not for recipes.", show_default=False
        ),
    ] = None,
    code: Annotated[
        str | None,
        typer.Option(
            "--code",
            "-c",
            help="Comma-separated Python files with code that the pipeline needs; not for recipes.",
            show_default=False,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder to keep the downloads of a recipe in.", show_default=False),
    ] = None,
    force: Force = False,
) -> None:
    """Build a wheel from a pipeline or a recipe.

    The wheel contains the weights, the tokenizer and the settings, and requires trf_bridge. After
    pip install, spacy.load loads the pipeline by its name, without a network connection. A recipe
    is a file with the checkpoint to download and the name of the package.

    \b
    Example:
      python -m spacy trf package ./trained/model-best ./dist --name reviews --version 1.0.0
    """
    from ..building import build_pipeline, build_recipe

    paths = [file.strip() for file in (code or "").split(",")]
    files = [str(Path(file).absolute()) for file in paths if file]
    given = {"--name": name, "--version": version, "--code": ",".join(files)}
    options = [part for option, value in given.items() if value for part in (option, value)]
    quiet_downloads()
    if pipeline_or_recipe.endswith(".cfg"):
        recipe = Path(pipeline_or_recipe)
        if options:
            problem = (
                f"{', '.join(options[::2])} can't be used with a recipe, which sets the package's "
                "name and version"
            )
            raise ValueError(errors.TB049.format(problem=problem))
        with steps(3) as step:
            wheel = build_recipe(recipe, out, cache=cache, force=force, step=step)
    else:
        folder = find_pipeline(pipeline_or_recipe)
        check_library(folder, pipeline_or_recipe)
        with steps(1) as step:
            wheel = build_pipeline(folder, out, options=options, force=force, step=step)
    say(f"Built {wheel} ({wheel.stat().st_size / 1e6:.0f} MB)", style="good")
