"""`spacy trf compare`: whether transformers pay attention to the same words."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import errors
from ..console import Force, Json, steps
from ..pipelines import load_transformer, run_over
from ..tables import make_table
from .view import Output, OutputAttentions, PageTheme, Serve, Theme, put_out, start_output

if TYPE_CHECKING:
    from spacy.tokens import Doc

    from ...pictures.head_overlap import Comparison
    from ...types import Array

DIGITS = 6


def command(
    pipelines: Annotated[
        list[str],
        typer.Argument(metavar="PIPELINE PIPELINE...", help="Installed pipelines, or folders."),
    ],
    text: Annotated[str, typer.Argument(help="What they read.")],
    json: Json = False,
    output: Output = None,
    serve: Serve = None,
    boundary: Annotated[
        bool,
        typer.Option(
            "--boundary",
            help="Give tokens their share of boundary pieces such as [CLS]. Many heads look mostly "
            "there, and then all seem alike.",
        ),
    ] = False,
    output_attentions: OutputAttentions = False,
    theme: PageTheme = Theme.auto,
    force: Force = False,
) -> None:
    """Compare what the transformers of several pipelines look at in the same tokens.

    The tokens, and the sentences where it has any, are those of the first pipeline. The overlap of
    two heads is 1 where both look at the same tokens to the same degree, and 0 where they have none
    in common; for each head the table has the one of the other transformer that overlaps most. The
    page of --output or --serve shows every pair of heads, and the attention itself.

    \b
    Example:
      python -m spacy trf compare en_trf_bert ./en_distilbert "Apple pie is delicious."
    """
    if len(pipelines) < 2:
        message = errors.TB053.format(
            what="The command compare",
            expected="two pipelines or more, and then a text",
            got=f"{len(pipelines)} pipeline and a text",
        )
        raise ValueError(message)
    with start_output(output, serve, force=force) as server:
        docs = _read(pipelines, text, output_attentions=output_attentions)
        from ...pictures.head_overlap import compare_attention

        pairs = {
            (i, j): compare_attention(docs[i], docs[j], boundary=boundary)
            for i, j in combinations(range(len(docs)), 2)
        }
        page = ""
        if output is not None or server is not None:  # before anything is printed: it can fail
            page = draw(pipelines, docs, pairs, boundary=boundary, theme=theme)
        if json:
            import srsly

            typer.echo(srsly.json_dumps(as_json(pipelines, docs, pairs, boundary=boundary)))
        else:
            typer.echo(as_tables(pipelines, docs, pairs, boundary=boundary))
        if page:
            put_out(page, output, server)


def _read(pipelines: list[str], text: str, *, output_attentions: bool) -> list[Doc]:
    """One Doc by each pipeline, of the tokens of the first; no more than one is in memory."""
    from ...pictures.figures import check_attention

    docs: list[Doc] = []
    with steps(len(pipelines)) as step:
        for name in pipelines:
            step(f"Reading the text with {name}")
            nlp = load_transformer(name, output_attentions=output_attentions)
            docs.append(run_over(nlp, docs[0]) if docs else nlp(text))
            check_attention(docs[-1])  # says now what is missing, or too much
    return docs


def as_json(
    names: list[str],
    docs: list[Doc],
    pairs: dict[tuple[int, int], Comparison],
    *,
    boundary: bool,
) -> dict[str, Any]:
    """Put everything that was compared into what JSON can say.

    names (list of str): The pipelines.
    docs (list of Doc): What each made of the text.
    pairs (dict): The Comparison of each two, by their places.
    boundary (bool): Whether tokens have their share of the boundary pieces.
    RETURNS (dict): Layers and heads count from 0; `overlap` is by layer and head of the one, then
        of the other.
    """
    from ...pictures.attention import read_attention
    from ...pictures.head_overlap import mean_best

    found = []
    for name, doc in zip(names, docs, strict=True):
        texts = [
            {
                "start": part.tokens.start,
                "end": part.tokens.stop,
                "attention": _rounded(part.by_token(boundary=boundary)),
            }
            for part in read_attention(doc)
        ]
        found.append({"name": name, "texts": texts})
    return {
        "tokens": [token.text for token in docs[0]],
        "boundary": boundary,
        "pipelines": found,
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
    """Write what was compared as tables.

    names, docs, pairs, boundary: As for `as_json`.
    RETURNS (str): What each token looks at most, and then a table for each two pipelines.
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

    names, docs, pairs, boundary: As for `as_json`.
    theme (Theme): Colours.
    RETURNS (str): A page; a click on a pair of heads shows both below.
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
    from ...pictures.head_overlap import mean_attention

    means = [mean_attention(doc, boundary=boundary) for doc in docs]
    rows = [
        [str(token.i), token.text, *(_most(docs[0], mean[token.i]) for mean in means)]
        for token in docs[0]
    ]
    title = "What each token looks at most, as a mean over layers and heads:"
    return f"{title}\n\n{make_table(['#', 'token', *names], rows, right=[0])}\n"


def _most(doc: Doc, row: Array) -> str:
    best = int(row.argmax())
    return f"{doc[best].text} {row[best]:.2f}" if row[best] else "-"


def _head_table(one: str, other: str, comparison: Comparison) -> str:
    from ...pictures.head_overlap import mean_best

    n_layers, n_heads = comparison.overlap.shape[:2]
    matches = comparison.matches()
    rows = []
    for layer in range(n_layers):
        of_layer = matches[layer * n_heads : (layer + 1) * n_heads]
        cells = [f"{m.overlap:.2f} {m.other_layer}.{m.other_head}" for m in of_layer]
        rows.append([str(layer), *cells])
    there, back = mean_best(comparison), mean_best(comparison.transposed())
    title = (
        f"{one} and {other}. Tokens: {comparison.n_tokens}. Mean overlap of a head with the one "
        f"most like it: {there:.3f}, and back {back:.3f}.\n"
        f"For each layer and head of {one}, the overlap, and layer.head of {other}:"
    )
    header = ["layer", *(f"head {head}" for head in range(n_heads))]
    return f"{title}\n\n{make_table(header, rows)}"


def _rounded(values: Array) -> Any:
    return values.astype("float64").round(DIGITS).tolist()
