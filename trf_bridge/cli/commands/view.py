"""`spacy trf view`: pictures of alignment, attention and similarity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ... import errors
from ..console import Force, say, steps
from ..pipelines import load_transformer
from ..serving import PageServer, open_server
from ..writing import check_output, replacing_file


class Style(str, Enum):
    """What to draw."""

    alignment = "alignment"
    attention = "attention"
    similarity = "similarity"


class Theme(str, Enum):
    """Colours of the page."""

    auto = "auto"
    light = "light"
    dark = "dark"


Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The page to write.", show_default=False)
]
Serve = Annotated[
    int | None,
    typer.Option(
        "--serve",
        "-s",
        metavar="PORT",
        help="Serve the page to a browser on this machine; 0 for any port that is free.",
        show_default=False,
    ),
]
OutputAttentions = Annotated[
    bool,
    typer.Option(
        "--output-attentions",
        help="Keep the attentions in this run, as output_attentions = true in the config does.",
    ),
]
PageTheme = Annotated[Theme, typer.Option(help="Colours; auto for those of the reader's system.")]


def command(
    pipeline: Annotated[str, typer.Argument(help="An installed pipeline, or its folder.")],
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="What to draw; each text is a Doc.")
    ],
    style: Annotated[Style, typer.Option(help="What to draw.")] = Style.alignment,
    output: Output = None,
    serve: Serve = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(help="A layer of the attention, from 0; can be given again. All if not."),
    ] = None,
    head: Annotated[
        list[int] | None,
        typer.Option(help="A head of the attention, from 0; can be given again. All if not."),
    ] = None,
    output_attentions: OutputAttentions = False,
    theme: PageTheme = Theme.auto,
    force: Force = False,
) -> None:
    """Draw what a pipeline's transformer makes of a text, as a page of its own.

    The styles: alignment, the tokens and their wordpieces; attention, what each looks at, by layer
    and head; similarity, of every token with every other, in one text or between two. The page
    needs no network. Without --output and --serve it is printed.

    \b
    Example:
      python -m spacy trf view en_trf_bert "Apple pie is delicious." --output page.html
    """
    if style != Style.attention and (layer or head):
        problem = "--layer and --head choose from what --style attention draws"
        raise ValueError(errors.TB049.format(problem=problem))
    with start_output(output, serve, force=force) as server:
        with steps(3) as step:
            step(f"Loading {pipeline}")
            nlp = load_transformer(pipeline, output_attentions=output_attentions)
            from ...pictures.render import render

            step("Reading the texts")
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
        put_out(page or "", output, server)


@contextmanager
def start_output(
    output: Path | None, serve: int | None, *, force: bool
) -> Iterator[PageServer | None]:
    """See that a page can go where it is to go, before there is one.

    output (Path): The file, if any.
    serve (int): The port, if any.
    force (bool): Whether the file may be replaced.
    YIELDS (PageServer): The server; None where nothing is to be served.
    RAISES (ValueError): TB041, TB054.
    """
    if output is not None:
        check_output(output, force=force)
    if serve is None:
        yield None
        return
    with open_server(serve) as server:
        yield server


def put_out(page: str, output: Path | None, server: PageServer | None) -> None:
    """Write a page, serve it until Ctrl+C, or print it.

    page (str): The page.
    output (Path): The file, if any.
    server (PageServer): The server, if any.
    """
    if output is not None:
        with replacing_file(output) as staged:
            staged.write_text(page, encoding="utf8")
        say(f"Wrote {output}", style="good")
    if server is not None:
        server.page = page.encode("utf8")
        try:
            say(f"Serving at {server.url} (Ctrl+C to stop)")
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopped serving")
    elif output is None:
        typer.echo(page)
