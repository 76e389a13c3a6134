"""`spacy trf view`: draw alignment, attention or similarity."""

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
    """Kinds of pictures."""

    alignment = "alignment"
    attention = "attention"
    similarity = "similarity"


class Theme(str, Enum):
    """Color schemes of a page."""

    auto = "auto"
    light = "light"
    dark = "dark"


Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The HTML file to write.", show_default=False)
]
Serve = Annotated[
    int | None,
    typer.Option(
        "--serve",
        "-s",
        metavar="PORT",
        help="Serve the page to a browser on this machine; 0 for any free port.",
        show_default=False,
    ),
]
OutputAttentions = Annotated[
    bool,
    typer.Option(
        "--output-attentions",
        help="Set output_attentions = true for this run, whatever the pipeline's config sets.",
    ),
]
PageTheme = Annotated[Theme, typer.Option(help="Color scheme; auto follows the reader's system.")]


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
        problem = "--layer and --head need --style attention"
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


@contextmanager
def start_output(
    output: Path | None, serve: int | None, *, force: bool
) -> Iterator[PageServer | None]:
    """Check the output file and open the server, before the page is drawn.

    output (Path): The file, or None.
    serve (int): The port, or None.
    force (bool): Whether the file may be replaced.
    YIELDS (PageServer): The server; None without a port.
    RAISES (ValueError): TB041, TB054.
    """
    if output is not None:
        check_output(output, force=force)
    if serve is None:
        yield None
        return
    with open_server(serve) as server:
        yield server


def deliver(page: str, output: Path | None, server: PageServer | None) -> None:
    """Write a page, serve it until Ctrl+C, or print it.

    page (str): The page.
    output (Path): The file, or None.
    server (PageServer): The server, or None.
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
