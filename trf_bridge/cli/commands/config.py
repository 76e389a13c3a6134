"""`spacy trf config`: print a complete training config."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    pipeline: Annotated[
        str,
        typer.Option(
            "--pipeline",
            "-p",
            help="Comma-separated components to train: textcat, textcat_multilabel, tagger, "
            "morphologizer, trainable_lemmatizer, parser, senter, ner, span_finder, spancat, "
            "spancat_singlelabel, entity_linker.",
        ),
    ],
    trf: Annotated[
        str,
        typer.Option(
            "--trf",
            "-t",
            help="The transformer: an installed pipeline, the folder of a saved one, or a "
            "checkpoint (a folder, or a name on the Hugging Face hub).",
        ),
    ],
    optimize: Annotated[
        str,
        typer.Option(
            "--optimize",
            "-o",
            help='"efficiency": 16-bit precision where it is faster, frozen embeddings, at most '
            '5,000 steps. "accuracy": 32-bit precision, no frozen weights, at most 20,000 steps.',
        ),
    ] = "efficiency",
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            "-l",
            help="Language code; by default that of the pipeline given by --trf, or en for a "
            "checkpoint.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print a complete training config for spacy train.

    This is spacy init config for pipelines with a transformer. The paths of the data are given to
    spacy train. If --trf is a pipeline, its transformer keeps the precision and the frozen weights
    that it was saved with, and --optimize only changes how long it is trained. entity_linker needs
    a knowledge base, saved with its to_disk and given as --paths.kb.

    \b
    Example:
      python -m spacy trf config --pipeline textcat,ner --trf en_trf_bert > config.cfg
      python -m spacy train config.cfg --output trained \\
        --paths.train train.spacy --paths.dev dev.spacy
    """
    from ..training_config import make_config, paths_of, write_config

    heads = [name.strip() for name in pipeline.split(",") if name.strip()]
    config = make_config(heads, trf, optimize=optimize, lang=lang)
    text = _header(heads, trf, optimize, paths_of(heads)) + write_config(config)
    typer.echo(text, nl=False)


def _header(heads: list[str], trf: str, optimize: str, paths: list[str]) -> str:
    """Return comments with the contents of the config and how to train with it."""
    options = " ".join(f"--paths.{path} {_example(path)}" for path in paths)
    return (
        f"# {', '.join(heads)} on {trf}, optimized for {optimize}.\n"
        "#\n"
        f"#     python -m spacy train config.cfg --output trained {options}\n\n"
    )


def _example(path: str) -> str:
    """Return an example of a file."""
    return path if path == "kb" else f"{path}.spacy"
