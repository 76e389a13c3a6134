"""`spacy trf compare`: compare the attention of transformers."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import errors
from ..console import Force, Json, steps
from ..pages import Output, PageTheme, Serve, Theme, deliver, start_output
from ..pipelines import load_transformer, run_over
from ..tables import make_table

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ...pictures.head_overlap import Comparison
    from ...types import Array

DIGITS = 6


def command(
    pipelines: Annotated[
        list[str],
        typer.Argument(
            metavar="PIPELINE PIPELINE...", help="Installed pipelines, or their folders."
        ),
    ],
    text: Annotated[str, typer.Argument(help="The text.")],
    json: Json = False,
    output: Output = None,
    serve: Serve = None,
    boundary: Annotated[
        bool,
        typer.Option(
            "--boundary",
            help="Include the attention of boundary pieces such as [CLS]. Many heads attend "
            "mostly to these, so that all heads look similar.",
        ),
    ] = False,
    theme: PageTheme = Theme.auto,
    force: Force = False,
) -> None:
    """Compare the attention of several transformers on a text.

    All pipelines use the tokens and sentences of the first one, and run with output_attentions =
    true, whatever their configs set. The overlap of two heads is 1 if
    they attend to the same tokens with the same weights, and 0 if they attend to no token in
    common. The table shows, for each head, the head of the other transformer with the largest
    overlap. The page of --output or --serve shows every pair of heads and the attention itself.

    \b
    Example:
      python -m spacy trf compare en_trf_bert ./en_distilbert "Apple pie is delicious."
    """
    if len(pipelines) < 2:
        message = errors.TB053.format(
            what="The command compare",
            expected="at least two pipelines, followed by a text",
            got=f"{len(pipelines)} pipeline and a text",
        )
        raise ValueError(message)
    with start_output(output, serve, force=force) as server:
        docs = _read(pipelines, text)
        from ...pictures.head_overlap import compare_attention

        pairs = {
            (i, j): compare_attention(docs[i], docs[j], boundary=boundary)
            for i, j in combinations(range(len(docs)), 2)
        }
        page = ""
        if output is not None or server is not None:  # first, as it can fail
            page = draw(pipelines, docs, pairs, boundary=boundary, theme=theme)
        if json:
            import srsly

            typer.echo(srsly.json_dumps(as_json(pipelines, docs, pairs, boundary=boundary)))
        else:
            typer.echo(as_tables(pipelines, docs, pairs, boundary=boundary))
        if page:
            deliver(page, output, server)


def _read(pipelines: list[str], text: str) -> list[Doc]:
    """Run the pipelines one after another, so that only one is in memory at a time."""
    docs: list[Doc] = []
    with steps(len(pipelines)) as step:
        for name in pipelines:
            step(f"Running {name}")
            nlp = load_transformer(name, output_attentions=True)
            docs.append(run_over(nlp, docs[0]) if docs else nlp(text))
    return docs


def as_json(
    names: list[str],
    docs: list[Doc],
    pairs: dict[tuple[int, int], Comparison],
    *,
    boundary: bool,
) -> dict[str, Any]:
    """Return the attention and all comparisons as a record for JSON.

    names (list of str): The pipelines.
    docs (list of Doc): The Doc of each.
    pairs (dict): The Comparison of every two pipelines, by their indices.
    boundary (bool): Whether the attention of boundary pieces is included.
    RETURNS (dict): The record. Layers and heads are counted from 0. The axes of "overlap" are the
        layers and heads of the one pipeline, then those of the other.
    """
    from ...pictures.attention import read_attention
    from ...pictures.head_overlap import mean_best

    pipelines = []
    for name, doc in zip(names, docs, strict=True):
        texts = [
            {
                "start": part.tokens.start,
                "end": part.tokens.stop,
                "attention": _rounded(part.by_token(boundary=boundary)),
            }
            for part in read_attention(doc)
        ]
        pipelines.append({"name": name, "texts": texts})
    return {
        "tokens": [token.text for token in docs[0]],
        "boundary": boundary,
        "pipelines": pipelines,
        "comparisons": [
            {
                "one": names[i],
                "other": names[j],
                "n_tokens": comparison.n_tokens,
                "mean_best": [mean_best(comparison), mean_best(comparison.transposed())],
                "layers": _rounded(comparison.layers()),
                "heads": [match._asdict() for match in comparison.matches()],
                "overlap": _rounded(comparison.overlap),
            }
            for (i, j), comparison in pairs.items()
        ],
    }


def as_tables(
    names: list[str],
    docs: list[Doc],
    pairs: dict[tuple[int, int], Comparison],
    *,
    boundary: bool,
) -> str:
    """Format the comparisons as tables.

    names, docs, pairs, boundary: See `as_json`.
    RETURNS (str): The token that each token attends to most, then a table for every two pipelines.
    """
    parts = [_token_table(names, docs, boundary=boundary)]
    for (i, j), comparison in pairs.items():
        parts.append(_head_table(names[i], names[j], comparison))
    return "\n".join(parts)


def draw(
    names: list[str],
    docs: list[Doc],
    pairs: dict[tuple[int, int], Comparison],
    *,
    boundary: bool = False,
    theme: Theme = Theme.auto,
) -> str:
    """Draw the overlap of every two pipelines, and the attention of each.

    names, docs, pairs, boundary: See `as_json`.
    theme (Theme): Color scheme.
    RETURNS (str): A page. A click on a pair of heads shows both below.
    RAISES (ValueError): TB055.
    """
    from ...pictures.figures import draw_attention, draw_comparison, title_of
    from ...pictures.render import show

    figures = [
        draw_comparison(comparison, (names[i], names[j]), (i, j))
        for (i, j), comparison in pairs.items()
    ]
    figures += [
        draw_attention(doc, level="tokens" if boundary else "words", name=name, place=place)
        for place, (name, doc) in enumerate(zip(names, docs, strict=True))
    ]
    title = f"comparison: {title_of(docs[0])}"
    page = show(
        figures, title=title, lang=docs[0].lang_, page=True, jupyter=False, theme=theme.value
    )
    return page or ""


def _token_table(names: list[str], docs: list[Doc], *, boundary: bool) -> str:
    """Return the table of tokens."""
    from ...pictures.head_overlap import mean_attention

    means = [mean_attention(doc, boundary=boundary) for doc in docs]
    rows = [
        [str(token.i), token.text, *(_most(docs[0], mean[token.i]) for mean in means)]
        for token in docs[0]
    ]
    title = "The token that each token attends to most (mean weight over layers and heads):"
    return f"{title}\n\n{make_table(['#', 'token', *names], rows, right=[0])}\n"


def _most(doc: Doc, row: Array) -> str:
    """Return the token with the largest weight, and the weight."""
    best = int(row.argmax())
    return f"{doc[best].text} {row[best]:.2f}" if row[best] else "-"


def _head_table(one: str, other: str, comparison: Comparison) -> str:
    """Return the table of heads for two pipelines."""
    from ...pictures.head_overlap import mean_best

    n_layers, n_heads = comparison.overlap.shape[:2]
    matches = comparison.matches()
    rows = []
    for layer in range(n_layers):
        heads = matches[layer * n_heads : (layer + 1) * n_heads]
        cells = [f"{m.overlap:.2f} {m.other_layer}.{m.other_head}" for m in heads]
        rows.append([str(layer), *cells])
    there, back = mean_best(comparison), mean_best(comparison.transposed())
    title = (
        f"{one} and {other}. Tokens: {comparison.n_tokens}. Mean overlap of a head with the most "
        f"similar head of the other: {there:.3f}, and in reverse {back:.3f}.\n"
        f"For each layer and head of {one}: the overlap, and the layer.head of {other}:"
    )
    header = ["layer", *(f"head {head}" for head in range(n_heads))]
    return f"{title}\n\n{make_table(header, rows)}"


def _rounded(values: Array) -> Any:
    """Return rounded numbers as nested lists."""
    return values.astype("float64").round(DIGITS).tolist()
