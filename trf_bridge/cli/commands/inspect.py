"""`spacy trf inspect`: show how texts, or a corpus, are split into wordpieces."""

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
        list[str] | None, typer.Argument(help="Texts to split.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            "--corpus",
            "-c",
            help="A file instead of texts: one text per line, .jsonl with a field text, or .spacy.",
            show_default=False,
        ),
    ] = None,
    longest: Annotated[
        int, typer.Option(min=0, help="How many of the longest sentences of a corpus to list.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Show how texts or a corpus are split into wordpieces.

    For texts: the wordpieces of each token with their weights, and the boundary pieces of its
    sentence. For a corpus: wordpieces per token, unknown wordpieces, sentences longer than the
    maximum, the longest sentences, and the share of padding for several values of words_per_batch.
    The padding is that of the engine of the pipeline's transformer, or that of padded inputs if the
    pipeline has no transformer. The transformer itself is not run.

    \b
    Example:
      python -m spacy trf inspect en_trf_bert "Laced with dreams. Dripping in reality."
      python -m spacy trf inspect en_trf_bert --corpus train.spacy --json
    """
    if bool(texts) == (corpus is not None):
        problem = f"expected either texts or --corpus, got {'both' if texts else 'neither'}"
        raise ValueError(errors.TB049.format(problem=problem))
    needs = ["trf_wordpiecer"]
    from ..wordpiece_tables import corpus_tables, describe_doc, doc_tables

    if corpus is None:
        nlp = load_pipeline(pipeline, needs=needs, only_needed=True)
        records = [describe_doc(doc) for doc in nlp.pipe(texts or [])]
        result: object = records
        tables = "\n\n".join(doc_tables(record) for record in records)
    else:
        from ..measures import measure_corpus

        nlp = load_pipeline(pipeline, needs=needs, optional=["trf_tok2vec"], only_needed=True)
        result = measure_corpus(nlp, corpus, pipeline=pipeline, longest=longest)
        tables = corpus_tables(result)
    typer.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else tables)
