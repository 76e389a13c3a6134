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
            "spancat_singlelabel, entity_linker.",
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
            help='"efficiency": the transformer computes in 16 bits where that is faster, its '
            'embeddings are not trained, and training ends after at most 5,000 steps. "accuracy": '
            "it computes in 32 bits, all of it is trained, and training may go on for 20,000.",
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
    a pipeline computes and is frozen as it was saved: there, --optimize only changes for how long
    it is trained. entity_linker needs a knowledge base, saved with its to_disk: name it with
    --paths.kb.

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
    given = " ".join(f"--paths.{path} {_example(path)}" for path in paths)
    return (
        f"# {', '.join(heads)} on {trf}, optimized for {optimize}.\n"
        "#\n"
        f"#     python -m spacy train config.cfg --output trained {given}\n\n"
    )


def _example(path: str) -> str:
    return path if path == "kb" else f"{path}.spacy"
