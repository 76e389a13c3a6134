"""The pictures in a real browser: what is there after a click, and under the mouse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy
import pytest
from chromium import chromium
from tiny import HEADS, LAYERS

import trf_bridge
from trf_bridge.pictures.attention import read_attention
from trf_bridge.pictures.similarity import token_similarity

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TEXT = "Apple shares rose unhappily. Don't the apples in Straße isn't 👍🏽 sleep?"
EVIL = "<script>document.title='broken'</script> <b>A man</b> & \"the tide\""
HEBREW = "התפוח נפל מן העץ. הילד אכל אותו."
WORDS = "A man sleeps in the house and the tide is rising for Apple shares in Straße "
LONG = ". ".join([WORDS * 2] * 7) + "."

# Kept, for people to look at.
SHOTS = Path(__file__).resolve().parents[2] / ".cache" / "screenshots"


@pytest.fixture(scope="module")
def page():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def nlp(pipeline):
    return pipeline("bert", output_attentions=True, overflow="window")


@pytest.fixture
def show(page, tmp_path):
    """Opens a picture, keeps a screenshot, and sees that nothing was fetched or thrown."""
    paths = []

    def open_picture(name, docs, **options):
        path = tmp_path / "page.html"
        path.write_text(trf_bridge.render(docs, page=True, **options), encoding="utf8")
        paths.append(path)
        page.open(path)
        page.screenshot(SHOTS / f"{name}.png")
        return page

    yield open_picture
    page.prefer("light")
    assert paths
    assert {url.partition(":")[0] for url in page.requested()} <= {"file", "data"}
    assert page.complaints() == []


def values_of(page, side):
    return page.evaluate(
        f"[...document.querySelectorAll('[data-side={side}] .trf-word')]"
        ".map(e => e.dataset.value === undefined ? null : Number(e.dataset.value))"
    )


def overflow(page):
    """How many pixels the page is wider than its window."""
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def test_a_click_on_a_head_and_a_word_under_the_mouse(show, nlp):
    doc = nlp(TEXT)
    page = show("attention", doc, style="attention")
    (first, _) = read_attention(doc)
    assert page.texts("[data-side=rows] .trf-word") == [doc[i].text for i in first.tokens]
    for layer, head in [(0, 1), (1, 0)]:
        page.click(f"button[data-layer='{layer}']")
        page.click(f"button[data-head='{head}']")
        page.wait_for(f"document.querySelector('figure').dataset.head === '{head}'")
        assert page.texts("button[aria-pressed=true]")[-2:] == [str(layer), str(head)]
        page.hover("[data-side=rows] .trf-word[data-index='1']")
        expected = first.by_token()[layer, head, 1]
        numpy.testing.assert_allclose(values_of(page, "columns"), expected, atol=0.005)
        page.hover("[data-side=columns] .trf-word[data-index='2']")
        expected = first.by_token()[layer, head, :, 2]
        numpy.testing.assert_allclose(values_of(page, "rows"), expected, atol=0.005)
        assert "rose (token 2" in re.sub("[\u2068\u2069]", "", page.texts(".trf-readout")[0])
    page.screenshot(SHOTS / "attention-hover.png")


def test_means_levels_and_sentences_can_be_chosen(show, nlp):
    doc = nlp(TEXT)
    page = show("attention-tokens", doc, style="attention")
    _, second = read_attention(doc)
    assert len(page.texts("button[data-layer]")) == LAYERS + 1
    assert len(page.texts("button[data-head]")) == HEADS + 1
    page.click("button[data-text='1']")
    page.click("button[data-head='mean']")
    page.click("button[data-layer='mean']")
    page.click("button[data-level='words']")
    page.wait_for("document.querySelector('figure').dataset.level === 'words'")
    page.hover("[data-side=rows] .trf-word[data-index='0']")
    expected = second.by_token(boundary=False)[:, :, 0].mean(axis=(0, 1))
    numpy.testing.assert_allclose(values_of(page, "columns"), expected, atol=0.005)
    page.click("button[data-level='pieces']")
    page.wait_for("document.querySelector('figure').dataset.level === 'pieces'")
    pieces = doc._.trf_word_pieces_[second.rows.start : second.rows.stop]
    assert page.texts("[data-side=rows] .trf-word") == pieces
    assert page.texts("[data-side=rows] .trf-edge") == ["[CLS]", "[SEP]"]
    page.hover("[data-side=rows] .trf-word[data-index='1']")
    expected = second.by_piece[:, :, 1].mean(axis=(0, 1))
    numpy.testing.assert_allclose(values_of(page, "columns"), expected, atol=0.005)
    page.screenshot(SHOTS / "attention-pieces.png")


def test_many_sentences_are_a_list(show, nlp):
    doc = nlp("A man. The tide! " * 5)
    page = show("attention-list", doc, style="attention")
    assert page.texts("button[data-text]") == []
    assert page.texts("select option") == [sent.text for sent in doc.sents]
    page.evaluate(
        "(() => {const s = document.querySelector('select'); s.selectedIndex = 1;"
        "s.dispatchEvent(new Event('change'))})()"
    )
    second = [token.text for token in list(doc.sents)[1]]
    words = "[...document.querySelectorAll('[data-side=rows] .trf-word')].map(e => e.textContent)"
    page.wait_for(f"{words}.join() === {','.join(second)!r}")


def test_a_click_keeps_a_word_until_escape(show, nlp):
    page = show("attention-pin", nlp(TEXT), style="attention")
    at_rest = values_of(page, "columns")
    page.click("[data-side=rows] .trf-word[data-index='1']")
    page.hover("figcaption")
    assert page.evaluate("document.querySelectorAll('.trf-from').length") == 1
    assert values_of(page, "columns") != at_rest
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert page.evaluate("document.querySelectorAll('.trf-from').length") == 0


def test_the_matrix_names_its_cells(show, nlp):
    doc = nlp(TEXT)
    page = show("similarity", doc, style="similarity")
    page.hover("canvas")
    readout = re.sub("[\u2068\u2069]", "", page.texts(".trf-readout")[0])
    found = re.fullmatch(r".* \(token (\d+), .*\) · .* \(token (\d+), .*\): (-?\d\.\d{3})", readout)
    assert found, readout
    expected = token_similarity(doc, doc)[int(found[1]), int(found[2])]
    assert float(found[3]) == pytest.approx(expected, abs=0.001)


def test_the_matrix_is_drawn(show, nlp):
    page = show("similarity-two", [nlp(TEXT), nlp("Apple pie is cold.")], style="similarity")
    n_colours = page.evaluate(
        "(() => {const c = document.querySelector('canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "const s = new Set(); for (let i = 3; i < d.length; i += 4) s.add(d[i]); return s.size})()"
    )
    assert n_colours > 10
    assert page.evaluate("document.querySelector('canvas').clientWidth") > 30


def test_alignment_under_the_mouse(show, nlp):
    doc = nlp(TEXT)
    page = show("alignment", doc)
    piece = doc._.trf_alignment[3][1]
    page.hover(f".trf-piece[data-row='{piece}']")
    start, end = doc._.trf_offsets[piece]
    readout = page.texts(".trf-readout")[0]
    assert f"id {doc._.trf_word_pieces[piece]}, " in readout
    assert f"characters {start}-{end}" in readout
    assert page.texts(".trf-token.trf-on") == [doc[3].text]
    page.hover(".trf-token[data-token='3']")
    lit = page.evaluate(
        "[...document.querySelectorAll('.trf-piece.trf-on')].map(e => Number(e.dataset.row))"
    )
    assert lit == doc._.trf_alignment[3]
    page.hover(".trf-boundary .trf-piece")
    first = next(iter(doc.sents))
    assert page.texts(".trf-token.trf-on") == [token.text for token in first]
    page.screenshot(SHOTS / "alignment-hover.png")


def test_links_meet_the_middles_of_what_they_link(show, nlp):
    page = show("alignment-links", nlp(TEXT))
    offs = page.evaluate(
        "[...document.querySelectorAll('.trf-part:not(.trf-boundary) line')].map(line => {"
        "const part = line.closest('.trf-part'), box = line.getBoundingClientRect();"
        "const middle = (s) => {const b = part.querySelector(s).getBoundingClientRect();"
        "return b.x + b.width / 2};"
        'const ends = [middle(`.trf-token[data-token="${line.dataset.token}"]`),'
        'middle(`.trf-piece[data-row="${line.dataset.row}"]`)].sort((a, b) => a - b);'
        "return Math.max(Math.abs(box.left - ends[0]), Math.abs(box.right - ends[1]))})"
    )
    assert len(offs) > 10
    assert max(offs) < 1


@pytest.mark.parametrize("style", ["alignment", "attention", "similarity"])
def test_text_is_shown_as_text(show, nlp, style):
    doc = nlp(EVIL)
    page = show(f"escaped-{style}", doc, style=style)
    words = ".trf-token" if style == "alignment" else "[data-side=rows] .trf-word"
    n = len(doc) if style != "attention" else len(read_attention(doc)[0].tokens)
    assert page.texts(words) == [token.text for token in doc][:n]
    assert page.evaluate("document.title") != "broken"
    assert page.evaluate("document.querySelectorAll('figure b').length") == 0


@pytest.mark.parametrize("style", ["alignment", "attention", "similarity"])
@pytest.mark.parametrize(("name", "text"), [("short", "A man sleeps soundly."), ("long", LONG)])
def test_short_and_long_texts_fit_the_window(show, nlp, style, name, text):
    doc = nlp(text)
    assert len(doc) == 5 if name == "short" else 200 <= len(doc) <= 250
    page = show(f"{name}-{style}", doc, style=style)
    assert overflow(page) <= 0
    size = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.trf-token bdi, .trf-word bdi')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert size >= 12


@pytest.mark.parametrize("style", ["alignment", "attention", "similarity"])
def test_right_to_left_text_runs_from_the_right(show, nlp, style):
    page = show(f"hebrew-{style}", nlp(HEBREW), style=style)
    words = ".trf-token" if style == "alignment" else "[data-side=rows] .trf-word"
    lefts = page.evaluate(
        f"[...document.querySelectorAll({words!r})].slice(0, 4)"
        ".map(e => e.getBoundingClientRect().left)"
    )
    assert lefts == sorted(lefts, reverse=True)
    assert overflow(page) <= 0
    if style == "attention":  # so that the end is what is cut off
        direction = "getComputedStyle(document.querySelector('button[data-text]')).direction"
        assert page.evaluate(direction) == "rtl"


def test_a_large_map_has_as_many_labels_as_there_is_room_for(show, nlp):
    page = show("similarity-labels", nlp(LONG), style="similarity")
    # Rows of pixels with ink in them, left of the cells, and the breaks between such rows.
    breaks, height = page.evaluate(
        "(() => {const c = document.querySelector('canvas'), w = 40;"
        "const d = c.getContext('2d').getImageData(0, 0, w, c.height).data;"
        "const ink = Array.from({length: c.height}, (_, y) =>"
        "  Array.from({length: w}, (_, x) => d[4 * (y * w + x) + 3]).some((a) => a > 60));"
        "return [ink.filter((on, y) => on && !ink[y - 1]).length, c.height]})()"
    )
    assert 20 < breaks < height / 8


@pytest.mark.parametrize("style", ["alignment", "attention"])
def test_dark_and_light(show, nlp, style):
    def brightness(css):
        """0 is black, 255 white."""
        colour = page.evaluate(f"getComputedStyle(document.querySelector('.trf-render')).{css}")
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    page = show(f"light-{style}", nlp(TEXT), style=style)
    assert brightness("backgroundColor") - brightness("color") > 150
    page.prefer("dark")
    assert brightness("color") - brightness("backgroundColor") > 150
    page.screenshot(SHOTS / f"dark-{style}.png")
    page.prefer("light")
    show(f"dark-theme-{style}", nlp(TEXT), style=style, theme="dark")
    assert brightness("color") - brightness("backgroundColor") > 150


def test_a_pair_of_heads_is_shown_below(page, nlp, pipeline, tmp_path):
    from trf_bridge.cli.commands.compare import draw
    from trf_bridge.cli.pipelines import run_over
    from trf_bridge.pictures.head_overlap import compare_attention

    one = nlp(TEXT)
    two = run_over(pipeline("roberta", output_attentions=True), one)
    path = tmp_path / "page.html"
    path.write_text(draw(["a", "b"], [one, two], {(0, 1): compare_attention(one, two)}))
    page.open(path)
    page.screenshot(SHOTS / "compare.png")
    place = (
        "[...document.querySelectorAll('[data-place]')].map(f => f.dataset.layer + f.dataset.head)"
    )
    assert page.evaluate(place) == ["00", "00"]
    box = page.evaluate(
        "(() => {const c = document.querySelector('canvas'); c.scrollIntoView();"
        "const b = c.getBoundingClientRect(); return [b.right, b.bottom]})()"
    )
    for kind in ("mousePressed", "mouseReleased"):  # the last cell: both at their last head
        options = {"button": "left", "clickCount": 1, "x": box[0] - 6, "y": box[1] - 6}
        page.call("Input.dispatchMouseEvent", type=kind, **options)
    last = f"{LAYERS - 1}{HEADS - 1}"
    page.wait_for(f"{place}.every(found => found === '{last}')")
    assert page.complaints() == []
