"""`spacy trf view`: draw alignment, attention or similarity."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from ... import errors
from ..console import Force, steps
from ..pages import Output, OutputAttentions, PageTheme, Serve, Theme, deliver, start_output
from ..pipelines import load_transformer


class Style(str, Enum):
    """Kinds of pictures."""

    alignment = "alignment"
    attention = "attention"
    similarity = "similarity"


def command(
    pipeline: Annotated[str, typer.Argument(help="An installed pipeline, or its folder.")],
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Texts to draw, each as a Doc.")
    ],
    style: Annotated[Style, typer.Option(help="Kind of picture.")] = Style.alignment,
    output: Output = None,
    serve: Serve = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            help="Layer of the attention, counted from 0; by default all. Can be repeated."
        ),
    ] = None,
    head: Annotated[
        list[int] | None,
        typer.Option(
            help="Head of the attention, counted from 0; by default all. Can be repeated."
        ),
    ] = None,
    output_attentions: OutputAttentions = False,
    theme: PageTheme = Theme.auto,
    force: Force = False,
) -> None:
    """Draw the alignment, attention or similarity of texts.

    The styles: alignment shows the wordpieces of each token; attention shows the attention between
    tokens or wordpieces, by layer and head; similarity shows the similarity of every two tokens of
    one text or of two texts. The result is an HTML page that needs no network connection. It is
    printed unless --output or --serve is given.

    \b
    Example:
      python -m spacy trf view en_trf_bert "Apple pie is delicious." --output page.html
    """
    if style != Style.attention and (layer or head):
        problem = f"--layer and --head need --style attention, got {style.value}"
        raise ValueError(errors.TB049.format(problem=problem))
    with start_output(output, serve, force=force) as server:
        with steps(3) as step:
            step(f"Loading {pipeline}")
            nlp = load_transformer(pipeline, output_attentions=output_attentions)
            from ...pictures.render import render

            step("Running the pipeline")
            docs = list(nlp.pipe(texts))
            step("Drawing")
            page = render(
                docs,
                style=style.value,
                page=True,
                jupyter=False,
                theme=theme.value,
                layers=layer or None,
                heads=head or None,
            )
        deliver(page or "", output, server)
