"""The alignment: links, weights, the weighted sum and its transpose."""

from __future__ import annotations

import numpy
import oracles
import pytest
from builders import build_wordpieces
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import kernel_docs, texts
from thinc.api import NumpyOps

from trf_bridge.align import Alignment, align, apply_alignment
from trf_bridge.align.offsets import share_weights
from trf_bridge.pipes.doc.records import get_wordpieces
from trf_bridge.types import Wordpieces

CPU = NumpyOps()


class OtherOps(NumpyOps):
    """Ops that are not on the CPU, as those of cupy, but compute with numpy."""

    name = "numpy-elsewhere"

    def __init__(self):
        super().__init__(device_type="gpu")


def int32(values, shape):
    return numpy.asarray(values, dtype="int32").reshape(shape)


def make_wordpieces(inputs) -> Wordpieces:
    pieces = [piece for _, pieces_of_input in inputs for piece in pieces_of_input]
    return build_wordpieces(
        [len(pieces_of_input) for _, pieces_of_input in inputs],
        offsets=[span for span, _ in pieces],
        boundary=[flag for _, flag in pieces],
        spans=[span for span, _ in inputs],
    )


def align_one(text, tokens, inputs) -> Alignment:
    return align([text], [int32(tokens, (-1, 2))], [make_wordpieces(inputs)])


def oracle_links(text, tokens, inputs):
    links = [[] for _ in tokens]
    row = 0
    for span, pieces_of_input in inputs:
        spans, flags = [s for s, _ in pieces_of_input], [f for _, f in pieces_of_input]
        for linked in oracles.link_pieces(text, tokens, spans, flags, span):
            for token in linked:
                links[token].append(row)
            row += 1
    return links


def links_of(text, tokens, pieces, boundary=()):
    """Return the links of a text that is one input."""
    inputs = [((0, len(text)), [(span, i in boundary) for i, span in enumerate(pieces)])]
    return align_one(text, tokens, inputs).tolist()


def test_other_ops_are_not_on_the_cpu():
    assert OtherOps().device_type != CPU.device_type


# Examples of the rule


def test_token_is_linked_to_every_piece_that_it_overlaps():
    # "dreams" in two pieces; "can't" is split into ca|n't by spaCy, and into can|'|t by the model
    tokens = [(0, 6), (7, 9), (9, 12)]
    pieces = [(0, 5), (5, 6), (7, 10), (10, 11), (11, 12)]
    assert links_of("dreams can't", tokens, pieces) == [[0, 1], [2], [2, 3, 4]]


def test_white_space_at_the_ends_of_a_piece_is_ignored():
    assert links_of("a b", [(0, 1), (1, 2), (2, 3)], [(0, 1), (1, 3)]) == [[0], [], [1]]
    assert links_of("a\u00a0 b", [(0, 1), (1, 3), (3, 4)], [(0, 3), (3, 4)]) == [[0], [], [1]]


def test_piece_of_white_space_is_linked_to_the_space_token():
    assert links_of("a  b", [(0, 1), (2, 3), (3, 4)], [(0, 1), (2, 3), (3, 4)]) == [[0], [1], [2]]


def test_boundary_pieces_are_linked_to_every_token_of_their_input_only():
    inputs = [
        ((0, 3), [((0, 0), True), ((0, 1), False), ((2, 3), False), ((0, 0), True)]),
        ((4, 5), [((4, 4), True), ((4, 5), False), ((4, 4), True)]),
    ]
    alignment = align_one("a b c", [(0, 1), (2, 3), (4, 5)], inputs)
    assert alignment.tolist() == [[0, 1, 3], [0, 2, 3], [4, 5, 6]]
    halves = [0.5, 1.0, 0.5]
    assert alignment.weights.tolist() == [*halves, *halves, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((2, 3), 0),  # one character after the first token, two before the next
        ((3, 4), 1),
        ((3, 3), 1),  # a tie: the following token
        ((2, 2), 0),
        ((0, 0), 0),
        ((1, 1), 0),  # empty, inside a token
        ((9, 9), 2),  # after the last token
        ((6, 6), 2),  # empty, where one token ends and the next begins
        ((4, 6), 1),
    ],
)
def test_piece_that_overlaps_no_token_is_linked_to_the_nearest(span, expected):
    tokens = [(0, 2), (4, 6), (6, 8)] if span != (4, 6) else [(0, 2), (7, 8)]
    links = links_of("aa  bbcc ", tokens, [span])
    assert links == [[0] if i == expected else [] for i in range(len(tokens))]


def test_pieces_of_one_character_are_all_linked_to_its_token():
    # byte-level pieces of one emoji have the same span
    pieces = [(0, 1), (0, 1), (0, 1), (1, 2)]
    assert links_of("👍a", [(0, 1), (1, 2)], pieces) == [[0, 1, 2], [3]]


def test_pieces_need_not_be_sorted():
    assert links_of("abc", [(0, 1), (1, 2), (2, 3)], [(2, 3), (0, 1), (1, 2)]) == [[1], [2], [0]]


def test_truncated_token_has_no_pieces():
    inputs = [((0, 1), [((0, 0), True), ((0, 1), False)])]
    assert align_one("a b", [(0, 1), (2, 3)], inputs).tolist() == [[0, 1], []]


def test_input_without_characters_has_no_tokens():
    inputs = [((2, 2), [((0, 0), True), ((0, 0), True)])]
    assert align_one("a b", [(0, 1), (2, 3)], inputs).tolist() == [[], []]


def test_span_beyond_the_text_is_clipped():
    tokens = [(0, 1), (2, 3)]
    assert links_of("a b", tokens, [(-9, 1), (2, 99), (50, 60), (2, 0)]) == [[0], [1, 2, 3]]


# Against the oracle


@given(kernel_docs())
@settings(max_examples=600)
def test_links_equal_the_oracle(drawn):
    alignment = align_one(*drawn)
    assert alignment.tolist() == oracle_links(*drawn)
    assert alignment.rows.dtype == alignment.lengths.dtype == numpy.int32


@given(kernel_docs(tidy=True))
@settings(max_examples=600)
def test_links_of_sorted_pieces_equal_the_oracle(drawn):
    assert align_one(*drawn).tolist() == oracle_links(*drawn)


@given(st.lists(kernel_docs(), max_size=5))
@settings(max_examples=150)
def test_batch_is_aligned_like_single_docs(docs):
    spans = [int32(tokens, (-1, 2)) for _, tokens, _ in docs]
    wordpieces = [make_wordpieces(inputs) for _, _, inputs in docs]
    batch = align([text for text, _, _ in docs], spans, wordpieces)
    parts = batch.split()
    assert len(parts) == len(docs)
    for part, drawn in zip(parts, docs, strict=True):
        alone = align_one(*drawn)
        assert part.tolist() == alone.tolist()
        assert part.weights.tolist() == alone.weights.tolist()
        assert part.n_tokens.tolist() == [len(drawn[1])]


@given(kernel_docs())
def test_rows_are_in_range_sorted_and_unique(drawn):
    n_pieces = sum(len(pieces_of_input) for _, pieces_of_input in drawn[2])
    for rows in align_one(*drawn).tolist():
        assert rows == sorted(set(rows))
        assert all(0 <= row < n_pieces for row in rows)


@given(kernel_docs())
def test_weights_of_a_piece_sum_to_one(drawn):
    alignment = align_one(*drawn)
    n_pieces = sum(len(pieces_of_input) for _, pieces_of_input in drawn[2])
    sums = numpy.zeros(n_pieces)
    numpy.add.at(sums, alignment.rows, alignment.weights.astype("float64"))
    counts = oracles.shares(alignment.tolist(), n_pieces)
    numpy.testing.assert_allclose(sums, [float(n > 0) for n in counts], atol=1e-6)
    shares = numpy.asarray(counts, dtype="int32")[alignment.rows]
    assert alignment.weights.tolist() == share_weights(shares).tolist()


@given(kernel_docs(tidy=True))
def test_every_piece_of_an_input_with_tokens_is_linked(drawn):
    _, tokens, inputs = drawn
    linked = set(align_one(*drawn).rows.tolist())
    row = 0
    for span, pieces_of_input in inputs:
        rows = set(range(row, row + len(pieces_of_input)))
        if any(oracles.share_characters(token, span) for token in tokens):
            assert rows <= linked
        else:
            assert not rows & linked
        row += len(pieces_of_input)


# The weighted sum and its transpose


def random_rows(n, width, seed=0, dtype="float32"):
    return numpy.random.default_rng(seed).normal(size=(n, width)).astype(dtype)


@pytest.mark.parametrize("ops", [CPU, OtherOps()], ids=["kernel", "other-ops"])
@given(docs=st.lists(kernel_docs(), max_size=4), width=st.sampled_from([1, 3, 8]))
@settings(max_examples=150)
def test_sum_and_transpose_equal_the_oracle(ops, docs, width):
    spans = [int32(tokens, (-1, 2)) for _, tokens, _ in docs]
    wordpieces = [make_wordpieces(inputs) for _, _, inputs in docs]
    alignment = align([text for text, _, _ in docs], spans, wordpieces)
    inputs = [random_rows(len(pieces), width, i) for i, pieces in enumerate(wordpieces)]
    outputs, backprop = apply_alignment(ops, alignment, inputs)
    gradients = [random_rows(len(tokens), width, 9 + i) for i, (_, tokens, _) in enumerate(docs)]
    d_inputs = backprop(gradients)
    for drawn, X, Y, dY, dX in zip(docs, inputs, outputs, gradients, d_inputs, strict=True):
        links = oracle_links(*drawn)
        assert Y.dtype == dX.dtype == numpy.float32
        assert Y.shape == (len(drawn[1]), width)
        assert dX.shape == X.shape
        numpy.testing.assert_allclose(Y, oracles.weighted_sum(links, X), atol=1e-5)
        expected = oracles.transposed_sum(links, dY, len(X))
        numpy.testing.assert_allclose(dX, expected, atol=1e-5)


@pytest.mark.parametrize("ops", [CPU, OtherOps()], ids=["kernel", "other-ops"])
@given(drawn=kernel_docs())
def test_backward_is_the_exact_transpose(ops, drawn):
    alignment = align_one(*drawn)
    n_pieces = sum(len(pieces_of_input) for _, pieces_of_input in drawn[2])
    x = random_rows(n_pieces, 4, dtype="float64")
    y = random_rows(len(drawn[1]), 4, seed=1, dtype="float64")
    (forward,), backprop = apply_alignment(ops, alignment, [x])
    (backward,) = backprop([y])
    assert forward.dtype == backward.dtype == numpy.float64
    numpy.testing.assert_allclose((forward * y).sum(), (x * backward).sum(), rtol=1e-12, atol=1e-12)


@given(kernel_docs(tidy=True))
def test_sum_over_tokens_equals_sum_over_pieces(drawn):
    text, tokens, inputs = drawn
    inputs = [((0, len(text)), pieces_of_input) for _, pieces_of_input in inputs]
    alignment = align_one(text, tokens, inputs)
    x = random_rows(sum(len(pieces_of_input) for _, pieces_of_input in inputs), 4)
    (summed,), _ = apply_alignment(CPU, alignment, [x])
    expected = x.sum(axis=0) if tokens else numpy.zeros(4)
    numpy.testing.assert_allclose(summed.sum(axis=0), expected, atol=1e-5)


def test_finite_differences_agree_with_the_gradient():
    drawn = (
        "ab c",
        [(0, 1), (1, 2), (3, 4)],
        [((0, 4), [((0, 0), True), ((0, 2), False), ((2, 4), False)])],
    )
    alignment = align_one(*drawn)
    x, weights = random_rows(3, 2, dtype="float64"), random_rows(3, 2, seed=1, dtype="float64")
    (_,), backprop = apply_alignment(CPU, alignment, [x])
    (d_x,) = backprop([weights])
    step = 1e-6
    for index in numpy.ndindex(x.shape):
        moved = x.copy()
        moved[index] += step
        up = (apply_alignment(CPU, alignment, [moved])[0][0] * weights).sum()
        moved[index] -= 2 * step
        down = (apply_alignment(CPU, alignment, [moved])[0][0] * weights).sum()
        assert (up - down) / (2 * step) == pytest.approx(d_x[index], abs=1e-8)


def test_rows_need_not_be_contiguous():
    alignment = align_one("ab", [(0, 1), (1, 2)], [((0, 2), [((0, 2), False), ((1, 2), False)])])
    x = numpy.asfortranarray(random_rows(4, 6))[::2, ::3]
    (summed,), backprop = apply_alignment(CPU, alignment, [x])
    numpy.testing.assert_allclose(summed, oracles.weighted_sum([[0], [0, 1]], x), atol=1e-6)
    (d_x,) = backprop([numpy.asfortranarray(summed)])
    expected = oracles.transposed_sum([[0], [0, 1]], summed, 2)
    numpy.testing.assert_allclose(d_x, expected, atol=1e-6)


@pytest.mark.parametrize("ops", [CPU, OtherOps()], ids=["kernel", "other-ops"])
def test_empty_docs_keep_the_width(ops):
    empty = ("", [], [])
    spaces = ("  ", [(0, 2)], [((0, 2), [])])
    alignment = align(
        [empty[0], spaces[0]],
        [int32([], (0, 2)), int32([(0, 2)], (1, 2))],
        [make_wordpieces(empty[2]), make_wordpieces(spaces[2])],
    )
    none = numpy.zeros((0, 5), dtype="float32")
    outputs, backprop = apply_alignment(ops, alignment, [none, none])
    assert [Y.shape for Y in outputs] == [(0, 5), (1, 5)]
    assert not outputs[1].any()
    assert [dX.shape for dX in backprop(outputs)] == [(0, 5), (0, 5)]


def test_empty_batch():
    alignment = align([], [], [])
    assert alignment.tolist() == []
    assert alignment.split() == []
    outputs, backprop = apply_alignment(CPU, alignment, [])
    assert outputs == backprop([]) == []


def test_time_is_linear_in_the_length():
    n = 200_000
    text = "ab " * n
    tokens = [(3 * i, 3 * i + 2) for i in range(n)]
    pieces = [(3 * i + k, 3 * i + k + 1) for i in range(n) for k in range(2)]
    wordpieces = make_wordpieces([((0, len(text)), [(span, False) for span in pieces])])
    # Quadratic work would be 8e10 steps.
    alignment = align([text], [int32(tokens, (-1, 2))], [wordpieces])
    assert alignment.rows.tolist() == list(range(2 * n))


# With tokenizers


@given(text=texts())
@settings(max_examples=80)
def test_docs_are_aligned_like_the_oracle(pipeline, checkpoint, family, text):
    nlp = pipeline(family, overflow="window")
    doc = nlp.make_doc(text)
    for name in ("sentencizer", "trf_wordpiecer"):
        doc = nlp.get_pipe(name)(doc)
    assume(get_wordpieces(doc).runs is None)  # windows are tested in test_windows.py
    check_doc(doc, oracles.load_plain_tokenizer(checkpoint(family)))


def check_doc(doc, tokenizer, max_length=None):
    """Check that the wordpieces equal the tokenizer's, and the links those of the oracle."""
    sentences = oracles.plain_sentences(doc, tokenizer, max_length)
    ids = [i for sentence in sentences for i in sentence.ids]
    assert doc._.trf_word_pieces.tolist() == ids
    assert doc._.trf_word_pieces_ == tokenizer.convert_ids_to_tokens(ids)
    assert doc._.trf_boundary.tolist() == [flag for s in sentences for flag in s.boundary]
    assert doc._.trf_offsets.tolist() == [list(span) for s in sentences for span in s.offsets]
    assert doc._.trf_alignment == oracles.align_doc(doc, sentences)
