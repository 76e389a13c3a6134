"""`spacy trf config`: a complete training config."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    pipeline: Annotated[
        str,
        typer.Option(
            "--pipeline",
            "-p",
            help="Comma-separated names of what to train: textcat, textcat_multilabel, tagger, "
            "morphologizer, trainable_lemmatizer, parser, senter, ner, span_finder, spancat, "
            "spancat_singlelabel.",
        ),
    ],
    trf: Annotated[
        str,
        typer.Option(
            "--trf",
            "-t",
            help="The transformer: an installed pipeline that has one, the folder of a saved "
            "pipeline, or a checkpoint (a folder, or a name on the Hugging Face hub).",
        ),
    ],
    optimize: Annotated[
        str,
        typer.Option(
            "--optimize",
            "-o",
            help='"efficiency" computes in bf16, leaves the embeddings as they are and trains for '
            'at most 5,000 steps; "accuracy" trains everything in fp32, for at most 20,000.',
        ),
    ] = "efficiency",
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            "-l",
            help="Code of the language; that of the pipeline named by --trf, or else en.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print a complete config for spacy train.

    It is the counterpart of spacy init config; the data is named when training. The transformer of
    a pipeline computes and is frozen as it was saved, whatever is optimized for. A processor that
    has no instructions for bf16 is faster with precision = "fp32".

    \b
    Example:
      python -m spacy trf config --pipeline textcat,ner --trf en_trf_bert > config.cfg
      python -m spacy train config.cfg --output trained \\
        --paths.train train.spacy --paths.dev dev.spacy
    """
    from .training import make_config, write_config

    heads = [name.strip() for name in pipeline.split(",") if name.strip()]
    config = make_config(heads, trf, optimize=optimize, lang=lang)
    typer.echo(_header(heads, trf, optimize) + write_config(config), nl=False)


def _header(heads: list[str], trf: str, optimize: str) -> str:
    return (
        f"# {', '.join(heads)} on {trf}, optimized for {optimize}.\n"
        "#\n"
        "#     python -m spacy train config.cfg --output trained "
        "--paths.train train.spacy --paths.dev dev.spacy\n\n"
    )
