"""The pictures in a real browser: what a click and the mouse change, and how they look."""

from __future__ import annotations

import re
import runpy
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

ROOT = Path(__file__).resolve().parents[2]
# Kept for review by eye.
SHOTS = ROOT / ".cache" / "screenshots"


@pytest.fixture(scope="module")
def page():
    with chromium() as page:
        yield page


@pytest.fixture(scope="module")
def nlp(pipeline):
    return pipeline("bert", output_attentions=True, overflow="window")


@pytest.fixture
def show(page, tmp_path):
    """Open a picture and save a screenshot; at the end, check that no request or error occurred."""
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
    """Return the values by which the words of a side are shaded."""
    return page.evaluate(
        f"[...document.querySelectorAll('[data-side={side}] .trf-word')]"
        ".map(e => e.dataset.value === undefined ? null : Number(e.dataset.value))"
    )


def overflow(page):
    """Return by how many pixels the page is wider than its window."""
    return page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )


def test_hovering_shows_the_attention_of_the_selected_head(show, nlp):
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


def test_means_levels_and_sentences_can_be_selected(show, nlp):
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


def test_many_sentences_are_in_a_list(show, nlp):
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


def test_a_click_keeps_a_word_selected_until_escape(show, nlp):
    page = show("attention-pin", nlp(TEXT), style="attention")
    initial = values_of(page, "columns")
    page.click("[data-side=rows] .trf-word[data-index='1']")
    page.hover("figcaption")
    assert page.evaluate("document.querySelectorAll('.trf-from').length") == 1
    assert values_of(page, "columns") != initial
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert page.evaluate("document.querySelectorAll('.trf-from').length") == 0


def test_a_click_keeps_a_cell_selected_until_escape(show, nlp):
    page = show("similarity-pin", nlp(TEXT), style="similarity")
    page.click("canvas")
    page.hover("figcaption")
    assert page.evaluate("document.querySelectorAll('.trf-from').length") == 1
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    assert page.evaluate("document.querySelectorAll('.trf-from').length") == 0


def test_hovering_a_cell_shows_its_tokens_and_value(show, nlp):
    doc = nlp(TEXT)
    page = show("similarity", doc, style="similarity")
    page.hover("canvas")
    readout = re.sub("[\u2068\u2069]", "", page.texts(".trf-readout")[0])
    match = re.fullmatch(r".* \(token (\d+), .*\) · .* \(token (\d+), .*\): (-?\d\.\d{3})", readout)
    assert match, readout
    expected = token_similarity(doc, doc)[int(match[1]), int(match[2])]
    assert float(match[3]) == pytest.approx(expected, abs=0.001)


def test_the_matrix_has_many_shades(show, nlp):
    page = show("similarity-two", [nlp(TEXT), nlp("Apple pie is cold.")], style="similarity")
    n_shades = page.evaluate(
        "(() => {const c = document.querySelector('canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "const s = new Set(); for (let i = 3; i < d.length; i += 4) s.add(d[i]); return s.size})()"
    )
    assert n_shades > 10
    assert page.evaluate("document.querySelector('canvas').clientWidth") > 30


def test_hovering_shows_links(show, nlp):
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
    highlighted = page.evaluate(
        "[...document.querySelectorAll('.trf-piece.trf-on')].map(e => Number(e.dataset.row))"
    )
    assert highlighted == doc._.trf_alignment[3]
    page.hover(".trf-boundary .trf-piece")
    first = next(iter(doc.sents))
    assert page.texts(".trf-token.trf-on") == [token.text for token in first]
    page.screenshot(SHOTS / "alignment-hover.png")


def test_hovering_shows_the_boundary_pieces_of_the_own_windows(show, pipeline):
    nlp = pipeline("bert", overflow="window", max_length=16)
    doc = nlp(WORDS)
    page = show("alignment-windows", doc)
    for token in (doc[0], doc[len(doc) - 1]):
        page.hover(f".trf-token[data-token='{token.i}']")
        highlighted = page.evaluate(
            "[...document.querySelectorAll('.trf-piece.trf-on')].map(e => Number(e.dataset.row))"
        )
        # A boundary piece in the middle of linked pieces is drawn after them.
        assert sorted(highlighted) == doc._.trf_alignment[token.i]
        for boundary in (False, True):
            rows = [row for row in highlighted if bool(doc._.trf_boundary[row]) is boundary]
            assert rows == sorted(rows)
        n_summands = page.texts(".trf-readout")[0].count(" + ") + 1
        assert n_summands == len(highlighted) < sum(map(bool, doc._.trf_boundary)) + 1


def test_links_end_at_the_centers_of_tokens_and_wordpieces(show, nlp):
    page = show("alignment-links", nlp(TEXT))
    distances = page.evaluate(
        "[...document.querySelectorAll('.trf-part:not(.trf-boundary) line')].map(line => {"
        "const part = line.closest('.trf-part'), box = line.getBoundingClientRect();"
        "const middle = (s) => {const b = part.querySelector(s).getBoundingClientRect();"
        "return b.x + b.width / 2};"
        'const ends = [middle(`.trf-token[data-token="${line.dataset.token}"]`),'
        'middle(`.trf-piece[data-row="${line.dataset.row}"]`)].sort((a, b) => a - b);'
        "return Math.max(Math.abs(box.left - ends[0]), Math.abs(box.right - ends[1]))})"
    )
    assert len(distances) > 10
    assert max(distances) < 1


@pytest.mark.parametrize("style", ["alignment", "attention", "similarity"])
def test_markup_in_a_text_is_shown_as_text(show, nlp, style):
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
def test_right_to_left_text_starts_at_the_right(show, nlp, style):
    page = show(f"hebrew-{style}", nlp(HEBREW), style=style)
    words = ".trf-token" if style == "alignment" else "[data-side=rows] .trf-word"
    lefts = page.evaluate(
        f"[...document.querySelectorAll({words!r})].slice(0, 4)"
        ".map(e => e.getBoundingClientRect().left)"
    )
    assert lefts == sorted(lefts, reverse=True)
    assert overflow(page) <= 0
    if style == "attention":  # so that the end of a long title is truncated, not the start
        direction = "getComputedStyle(document.querySelector('button[data-text]')).direction"
        assert page.evaluate(direction) == "rtl"


def test_a_large_matrix_has_labels_that_do_not_overlap(show, nlp):
    page = show("similarity-labels", nlp(LONG), style="similarity")
    # Count the labels left of the cells: runs of pixel rows that contain ink.
    n_labels, height = page.evaluate(
        "(() => {const c = document.querySelector('canvas'), w = 40;"
        "const d = c.getContext('2d').getImageData(0, 0, w, c.height).data;"
        "const ink = Array.from({length: c.height}, (_, y) =>"
        "  Array.from({length: w}, (_, x) => d[4 * (y * w + x) + 3]).some((a) => a > 60));"
        "return [ink.filter((on, y) => on && !ink[y - 1]).length, c.height]})()"
    )
    assert 20 < n_labels < height / 8


def contrast(text, background, below="rgb(0, 0, 0)"):
    """Return the contrast of two colors, as WCAG defines it; the background may be transparent."""

    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def numbers(css):
        red, green, blue, *alpha = map(float, re.findall(r"[\d.]+", css))
        return numpy.asarray([red, green, blue]) / 255, alpha[0] if alpha else 1.0

    (text, _), (background, alpha), (below, _) = map(numbers, (text, background, below))
    background = alpha * background + (1 - alpha) * below
    low, high = sorted([luminance(text), luminance(background)])
    return (high + 0.05) / (low + 0.05)


def contrasts(page, selector):
    """Return the contrast of the text of each element with its background."""
    styles = page.evaluate(
        f"[...document.querySelectorAll({selector!r})].map(e => {{"
        "const own = getComputedStyle(e), page = getComputedStyle(e.closest('.trf-render'));"
        "return [own.color, own.backgroundColor, page.backgroundColor]})"
    )
    return [contrast(*colors) for colors in styles]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_on_any_shade_is_readable(show, nlp, theme):
    page = show(f"contrast-{theme}", nlp(TEXT), style="attention", theme=theme)
    page.click("button[data-level='pieces']")
    page.wait_for("document.querySelectorAll('.trf-edge').length === 4")
    page.evaluate(
        "document.querySelectorAll('.trf-word').forEach(e => e.style.setProperty('--shade', 1))"
    )
    page.screenshot(SHOTS / f"contrast-{theme}.png")
    ratios = contrasts(page, ".trf-word, .trf-name, button")
    assert len(ratios) > 20
    assert min(ratios) >= 4.5  # the least that WCAG 2 recommends for text


@pytest.mark.parametrize("style", ["alignment", "attention"])
def test_light_and_dark_themes(show, nlp, style):
    def brightness(css):
        """Return the brightness of a color, from 0 for black to 255 for white."""
        color = page.evaluate(f"getComputedStyle(document.querySelector('.trf-render')).{css}")
        return sum(map(int, re.findall(r"\d+", color)[:3])) / 3

    page = show(f"light-{style}", nlp(TEXT), style=style)
    assert brightness("backgroundColor") - brightness("color") > 150
    page.prefer("dark")
    assert brightness("color") - brightness("backgroundColor") > 150
    page.screenshot(SHOTS / f"dark-{style}.png")
    page.prefer("light")
    show(f"dark-theme-{style}", nlp(TEXT), style=style, theme="dark")
    assert brightness("color") - brightness("backgroundColor") > 150


def test_the_drawing_of_the_documentation_follows_the_color_scheme(page):
    drawing = runpy.run_path(str(ROOT / "docs" / "draw_alignment.py"))
    picture = ROOT / "docs" / "alignment.svg"
    assert picture.read_text(encoding="utf8") == drawing["draw"](drawing["compute"]())
    page.open(picture)
    backgrounds = set()
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.screenshot(SHOTS / f"docs-alignment-{scheme}.png")
        paper, box, text, weight = page.evaluate(
            "['.paper', '.box', '.text', '.weight']"
            ".map(s => getComputedStyle(document.querySelector(s)).fill)"
        )
        assert min(contrast(text, paper), contrast(text, box), contrast(weight, paper)) >= 4.5
        backgrounds.add(paper)
    page.prefer("light")
    assert len(backgrounds) == 2


def test_a_click_on_a_pair_of_heads_selects_both_below(page, nlp, pipeline, tmp_path):
    from trf_bridge.cli.commands.compare import draw
    from trf_bridge.cli.pipelines import run_over
    from trf_bridge.pictures.head_overlap import compare_attention

    one = nlp(TEXT)
    two = run_over(pipeline("roberta", output_attentions=True), one)
    path = tmp_path / "page.html"
    path.write_text(draw(["a", "b"], [one, two], {(0, 1): compare_attention(one, two)}))
    page.open(path)
    page.screenshot(SHOTS / "compare.png")
    selected = (
        "[...document.querySelectorAll('[data-place]')].map(f => f.dataset.layer + f.dataset.head)"
    )
    assert page.evaluate(selected) == ["00", "00"]
    box = page.evaluate(
        "(() => {const c = document.querySelector('canvas'); c.scrollIntoView();"
        "const b = c.getBoundingClientRect(); return [b.right, b.bottom]})()"
    )
    for kind in ("mousePressed", "mouseReleased"):  # on the last cell: the last head of both
        options = {"button": "left", "clickCount": 1, "x": box[0] - 6, "y": box[1] - 6}
        page.call("Input.dispatchMouseEvent", type=kind, **options)
    last = f"{LAYERS - 1}{HEADS - 1}"
    page.wait_for(f"{selected}.every(pair => pair === '{last}')")
    assert page.complaints() == []
