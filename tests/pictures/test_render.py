"""The pictures as HTML: their contents, escaping, and errors."""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from html.parser import HTMLParser
from types import ModuleType

import numpy
import pytest
from spacy.tokens import Doc

import trf_bridge
from trf_bridge.pictures.alignment import read_alignment
from trf_bridge.pictures.attention import count_cells, read_attention
from trf_bridge.pictures.encoding import show_invisible, text_direction
from trf_bridge.pictures.figures import direction_of
from trf_bridge.pictures.similarity import token_similarity

TEXT = "Apple shares rose unhappily. Don't the apples in Straße isn't 👍🏽 sleep?"
EVIL = '<script>alert("x")</script> & <img src=x> </figure> \u2028 "quoted" \'too\''
STYLES = ["alignment", "attention", "similarity"]
VOID = {"meta", "link", "line", "br", "img"}


class Elements(HTMLParser):
    """Parse HTML into elements with their attributes and text; fail if tags do not nest."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", **dict(attrs)})

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def of_class(self, name):
        return [e for e in self.elements if name in e.get("class", "").split()]


def payloads(source):
    """Return the data that the scripts of the figures read."""
    kinds = [e for e in Elements(source).elements if e.get("type") == "application/json"]
    return [json.loads(element["text"]) for element in kinds]


def unpack(packed, dtype):
    return numpy.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype=dtype)


@pytest.fixture
def nlp(pipeline):
    return pipeline("bert", output_attentions=True)


# --- alignment


def test_parts_contain_every_link_once(pipeline, family):
    doc = pipeline(family)(TEXT)
    expected = {
        (token, row)
        for token, rows in enumerate(doc._.trf_alignment)
        for row in rows
        if not doc._.trf_boundary[row]
    }
    links, tokens, rows = [], [], []
    n_tokens = numpy.bincount([row for linked in doc._.trf_alignment for row in linked])
    for text in read_alignment(doc):
        for part in text.parts:
            tokens += part.tokens
            rows += part.rows
            for link in part.links:
                links.append((part.tokens[link.token], part.rows[link.piece]))
                assert link.weight == pytest.approx(1 / n_tokens[links[-1][1]], abs=1e-6)
    assert sorted(links) == sorted(expected)
    assert tokens == list(range(len(doc)))
    assert rows == list(range(len(doc._.trf_word_pieces)))


def test_parts_cannot_be_split_further(pipeline, family):
    doc = pipeline(family)(TEXT)
    for text in read_alignment(doc):
        for part in text.parts:
            assert part.boundary == (not part.tokens)
            reached = {0}
            for _ in part.tokens:  # add the tokens that a path of links connects to the first
                pieces = {link.piece for link in part.links if link.token in reached}
                reached |= {link.token for link in part.links if link.piece in pieces}
            assert part.boundary or reached == set(range(len(part.tokens)))


def test_boundary_pieces_are_separate_parts(nlp):
    doc = nlp(TEXT)
    for text in read_alignment(doc):
        boundary = [part for part in text.parts if part.boundary]
        assert [text.parts[0], text.parts[-1]] == boundary
        assert [doc._.trf_word_pieces_[part.rows[0]] for part in boundary] == ["[CLS]", "[SEP]"]


def test_unread_tokens_are_separate(pipeline):
    with pytest.warns(UserWarning, match="TB101"):
        doc = pipeline("bert", max_length=8)("A man sleeps in the house and the tide is rising.")
    read, unread = read_alignment(doc)
    assert not read.unread
    assert unread.unread
    inside = [token for part in read.parts for token in part.tokens]
    past = [token for part in unread.parts for token in part.tokens]
    assert inside + past == list(range(len(doc)))
    assert "not read by the model" in trf_bridge.render(doc)


def test_a_span_shows_its_own_tokens(nlp):
    doc = nlp(TEXT)
    (text,) = read_alignment(doc[1:3])
    assert [token for part in text.parts for token in part.tokens] == [1, 2]
    assert sum(part.boundary for part in text.parts) == 2


def test_alignment_contains_offsets_ids_and_weights(nlp):
    doc = nlp(TEXT)
    parsed = Elements(trf_bridge.render(doc))
    pieces = parsed.of_class("trf-piece")
    assert [int(p["data-id"]) for p in pieces] == doc._.trf_word_pieces.tolist()
    offsets = [(int(p["data-start"]), int(p["data-end"])) for p in pieces]
    assert offsets == [tuple(pair) for pair in doc._.trf_offsets.tolist()]
    n_tokens = numpy.bincount([row for linked in doc._.trf_alignment for row in linked])
    assert [int(p["data-share"]) for p in pieces] == n_tokens.tolist()
    assert [t["text"] for t in parsed.of_class("trf-token")] == [t.text for t in doc]
    lines = [e for e in parsed.elements if e["tag"] == "line"]
    links = {(int(line["data-token"]), int(line["data-row"])) for line in lines}
    assert len(lines) == len(links) > len(doc)


@pytest.mark.parametrize(
    "options", [{"overflow": "window", "max_length": 16}, {"separator": "|||"}]
)
def test_each_wordpiece_lists_its_own_tokens(pipeline, options):
    doc = pipeline("bert", **options)("A man. ||| " + "The tide is rising in the house " * 2)
    n_boundary = sum(map(bool, doc._.trf_boundary))
    assert n_boundary == 3 if "separator" in options else n_boundary > 4
    for piece in Elements(trf_bridge.render(doc)).of_class("trf-piece"):
        row = int(piece["data-row"])
        linked = [i for i, rows in enumerate(doc._.trf_alignment) if row in rows]
        assert [int(i) for i in piece["data-tokens"].split()] == linked
        assert int(piece["data-share"]) == len(linked)


# --- attention and similarity


def test_attention_contains_tokens_and_wordpieces(nlp):
    doc = nlp(TEXT)
    (payload,) = payloads(trf_bridge.render(doc, style="attention"))
    assert payload["layers"] == payload["heads"] == [0, 1]
    for text, plain in zip(payload["texts"], doc._.trf_all_attentions, strict=True):
        n = len(text["tokens"]["labels"])
        pieces = unpack(text["data"]["pieces"], "uint8").reshape(plain.shape) / 255
        numpy.testing.assert_allclose(pieces**2, plain, atol=0.004)
        for level in ("tokens", "words"):
            tokens = unpack(text["data"][level], "uint8").reshape(2, 2, n, n) / 255
            numpy.testing.assert_allclose((tokens**2).sum(axis=3), 1, atol=0.004 * n)
    labels = [label for text in payload["texts"] for label in text["tokens"]["labels"]]
    assert labels == [token.text for token in doc]


def test_attention_of_some_layers_and_heads(nlp):
    (payload,) = payloads(trf_bridge.render(nlp(TEXT), style="attention", layers=[1], heads=[0]))
    assert (payload["layers"], payload["heads"]) == ([1], [0])


def test_similarity_equals_that_of_spacys_tokens(nlp):
    one, two = nlp(TEXT), nlp("Apple pie.")
    for other in (one, two):
        expected = [[a.similarity(b) for b in other] for a in one]
        numpy.testing.assert_allclose(token_similarity(one, other), expected, atol=1e-5)
    assert token_similarity(one[2:4], two[1:2]).shape == (2, 1)


def test_similarity_of_one_doc_or_two(nlp):
    one, two = nlp(TEXT), nlp("Apple pie.")
    for docs, n_columns in [(one, len(one)), ([one], len(one)), ([one, two], len(two))]:
        (payload,) = payloads(trf_bridge.render(docs, style="similarity"))
        assert len(payload["columns"]["labels"]) == n_columns
        values = unpack(payload["values"], "<u2").reshape(len(one), n_columns) / 65535
        values = payload["low"] + values * (payload["high"] - payload["low"])
        expected = token_similarity(one, docs[-1] if isinstance(docs, list) else docs)
        numpy.testing.assert_allclose(values, expected, atol=2e-5)


def test_rows_of_zeros_have_no_similarity(nlp):
    doc = nlp("A man sleeps.")
    doc.tensor[1] = 0
    similarity = token_similarity(doc, doc)
    assert not similarity[1].any()
    assert not similarity[:, 1].any()
    assert numpy.isfinite(similarity).all()


# --- all styles


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", [EVIL, "", "\n \t", "שלום עולם. שלום!", "a" * 300])
def test_pages_are_complete_and_their_elements_nest(pipeline, style, text):
    nlp = pipeline("bert", output_attentions=True, overflow="window")
    doc = nlp(text)
    for page in (False, True):
        source = trf_bridge.render(doc, style=style, page=page)
        parsed = Elements(source)
        assert source.startswith("<!DOCTYPE html>") == page
        assert [e["tag"] for e in parsed.elements].count("figure") == 1
        assert not [e for e in parsed.elements if e["tag"] == "img"]


@pytest.mark.parametrize("style", STYLES)
def test_text_is_escaped(nlp, style):
    doc = nlp(EVIL)
    source = trf_bridge.render(doc, style=style, page=True)
    assert "<script>alert" not in source
    assert "\u2028" not in source
    parsed = Elements(source)
    if style == "alignment":
        assert "".join(t["text"] for t in parsed.of_class("trf-token")) == "".join(
            show_invisible(token.text) for token in doc
        )
    title = next(e for e in parsed.elements if e["tag"] == "title")
    assert title["text"].startswith(f"{style}: <script>alert")


@pytest.mark.parametrize("style", STYLES)
def test_pages_load_nothing(nlp, style):
    source = trf_bridge.render(nlp(TEXT), style=style, page=True)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", source)
    for element in Elements(source).elements:
        assert not {"src", "srcset", "action"} & set(element)
        assert element.get("href", "data:,") == "data:,"
    assert "default-src &#x27;none&#x27;" in source or "default-src 'none'" in source


@pytest.mark.parametrize("style", STYLES)
def test_the_same_doc_gives_the_same_picture(nlp, style):
    doc = nlp(TEXT)
    assert trf_bridge.render(doc, style=style) == trf_bridge.render(doc, style=style)


def test_several_docs_are_several_figures(nlp):
    docs = [nlp("A man."), nlp("A house.")[0:1]]
    source = trf_bridge.render(iter(docs), style="alignment")
    assert len([e for e in Elements(source).elements if e["tag"] == "figure"]) == 2
    assert source.count("<style>") == 1


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        *[("abc", "rtl", "ltr"), ("שלום", "ltr", "rtl"), ("سلام abc عليكم", "ltr", "rtl")],
        *[("123 !?", "rtl", "rtl"), ("", "ltr", "ltr"), ("abcd שלו", "rtl", "ltr")],
    ],
)
def test_direction_of_most_letters(text, default, expected):
    assert text_direction(text, default) == expected


def test_direction_of_the_language_without_letters(pipeline):
    doc = Doc(pipeline("bert", lang="he").vocab, words=["1", "2"])
    assert direction_of(doc) == "rtl"


def test_invisible_text_is_replaced():
    assert show_invisible(" \n\t") == "␣↵⇥"
    assert show_invisible("\u200b") == "U+200B"
    assert show_invisible("\u200d\x1b") == "U+200DU+001B"
    assert show_invisible("a\u200d") == "a\u200d"
    assert show_invisible("\u2003") == "U+2003"
    assert show_invisible(" a") == " a"


@pytest.mark.parametrize("style", ["alignment", "attention", "similarity"])
def test_pictures_of_an_empty_text(nlp, style):
    page = trf_bridge.render(nlp(""), style=style, page=True)
    expected = {"similarity": "0 by 0 tokens", "attention": '"texts":[]'}
    assert expected.get(style, "The text is empty.") in page


def test_notebooks_display_the_picture(nlp, monkeypatch):
    displayed = []
    display = ModuleType("IPython.display")
    display.HTML, display.display = str, displayed.append
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    doc = nlp("A man.")
    assert trf_bridge.render(doc, jupyter=True) is None
    assert displayed == [
        f'<div class="tex2jax_ignore">{trf_bridge.render(doc, jupyter=False)}</div>'
    ]
    monkeypatch.setattr("trf_bridge.pictures.render.is_in_jupyter", lambda: True)
    assert trf_bridge.render(doc) is None
    assert len(displayed) == 2


def test_importing_a_submodule_does_not_replace_the_function():
    import trf_bridge.pictures.render

    assert callable(trf_bridge.render)


@pytest.mark.parametrize("docs", ["text", 3, ["text"], [None]])
def test_objects_other_than_docs_are_refused(docs):
    with pytest.raises(TypeError, match=r"TB050.*(str|int|NoneType)"):
        trf_bridge.render(docs)


@pytest.mark.parametrize("choice", [{"style": "dep"}, {"theme": "blue"}])
def test_unknown_choices_are_refused(nlp, choice):
    with pytest.raises(ValueError, match=r"TB008.*(style|theme)"):
        trf_bridge.render(nlp("A man."), **choice)


@pytest.mark.parametrize("n", [0, 3])
def test_similarity_needs_one_or_two_docs(nlp, n):
    with pytest.raises(ValueError, match=rf"TB053.*similarity.*{n} Docs"):
        trf_bridge.render([nlp("A man.")] * n, style="similarity")


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("alignment", "wordpieces"),
        ("attention", "wordpieces"),
        ("similarity", "rows in doc.tensor"),
    ],
)
def test_docs_not_processed_by_a_transformer_are_refused(nlp, style, message):
    with pytest.raises(ValueError, match=f"TB052.*{message}"):
        trf_bridge.render(nlp.make_doc("A man."), style=style)


def test_pictures_too_large_for_a_browser_are_refused(nlp, monkeypatch):
    monkeypatch.setattr("trf_bridge.pictures.figures.MAX_CELLS", 100)
    doc = nlp(TEXT)
    with monkeypatch.context() as patch:
        # The error precedes all computation, as a long text could use up the memory.
        patch.setattr("trf_bridge.pictures.figures.read_attention", None)
        with pytest.raises(ValueError, match=r"TB055.*numbers.*layers or heads"):
            trf_bridge.render(doc, style="attention")
    monkeypatch.setattr("trf_bridge.pictures.figures.MAX_MAP", len(doc) ** 2 - 1)
    with pytest.raises(ValueError, match=r"TB055.*shorter text"):
        trf_bridge.render(doc, style="similarity")
    assert "trf-matrix" in trf_bridge.render([doc[:2], doc], style="similarity")


@pytest.mark.parametrize("options", [{}, {"layers": [1]}, {"layers": [0, 1], "heads": [0]}])
def test_cells_are_counted_before_they_are_computed(nlp, options):
    for text in (TEXT, "", "A man. " * 3):
        for obj in (nlp(text), nlp(text)[:2]):
            texts = read_attention(obj, **options)
            expected = sum(
                text.by_piece.size + text.by_token().size + text.by_token(boundary=False).size
                for text in texts
            )
            assert count_cells(obj, **options) == expected
