"""`spacy trf inspect`: how texts, or a corpus, are cut into wordpieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ... import errors
from ..console import Json
from ..pipelines import load_pipeline


def command(
    pipeline: Annotated[
        str, typer.Argument(help="An installed pipeline, or the folder of a saved one.")
    ],
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts to cut.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus",
            "-c",
            help="A file instead of texts: one text a line, .jsonl with a field text, or .spacy.",
            show_default=False,
        ),
    ] = None,
    longest: Annotated[
        int, typer.Option(min=0, help="How many of the longest inputs of a corpus to list.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Show how texts are cut into wordpieces, or what a corpus would cost.

    For texts: each token with its wordpieces, their weights, and the boundary pieces of its
    sentence. For a corpus: wordpieces per token, unknown wordpieces, sentences past the maximum,
    the share of padding for several values of words_per_batch (of a model that is run with
    padding), and the longest sentences. Only what stands before the transformer is run.

    \b
    Example:
      python -m spacy trf inspect en_trf_bert "Laced with dreams. Dripping in reality."
      python -m spacy trf inspect en_trf_bert --corpus train.spacy --json
    """
    if bool(texts) == (corpus is not None):
        problem = "give either texts or --corpus" + (", not both" if texts else "")
        raise ValueError(errors.TB049.format(problem=problem))
    nlp = load_pipeline(pipeline, needs=["trf_wordpiecer"], only=True)
    if corpus is None:
        from ..wordpiece_tables import describe_doc, show_doc

        records = [describe_doc(doc) for doc in nlp.pipe(texts or [])]
        shown = "\n\n".join(show_doc(record) for record in records)
        result: object = records
    else:
        from ..measures import measure_corpus, show_measures

        result = measure_corpus(nlp, corpus, pipeline=pipeline, longest=longest)
        shown = show_measures(result)
    if as_json:
        shown = json.dumps(result, indent=2, ensure_ascii=False)
    typer.echo(shown)
