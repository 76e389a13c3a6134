"""Gradients that components set on Docs reach the weights as in plain torch."""

from __future__ import annotations

import warnings
from functools import partial

import numpy
import pytest
from spacy.training import Example
from tiny import FAMILIES, WIDTH
from torch_oracle import (
    PlainTransformer,
    add_writer,
    assert_moved,
    assert_near,
    assert_same,
    get_gradients,
    get_module,
    get_weights,
    make_examples,
    make_sgd,
    plain_backward,
    read,
)

from trf_bridge.align import apply_alignment
from trf_bridge.pipes.doc.records import get_alignment, get_wordpieces
from trf_bridge.pipes.heads.sentence_vectors import ClassVectors, MeanVectors
from trf_bridge.types import Activations

pytestmark = pytest.mark.usefixtures("fixed_seed")

TEXTS = [
    "My name is Robert. Apple pie is delicious! Is it?",
    "",
    "The tide had gone out and left the harbour to the gulls.",
    "A",
    "Straßenbahn 北京 👍🏽 state-of-the-art. Perhaps.",
]

WITH_POOLER = [name for name in FAMILIES if name in ("bert", "roberta", "xlm_roberta")]


def gradients_of_update(nlp, texts=TEXTS):
    """Update without a step, and return the gradients of the weights."""
    nlp.update(make_examples(nlp, texts), sgd=False)
    return get_gradients(nlp)


def plain_gradients(family, folder, nlp, *outputs, texts=TEXTS, scale=1.0):
    plain = PlainTransformer(family, folder)
    docs = [read(nlp, text) for text in texts]
    plain_backward(plain, docs, outputs or ("last_hidden_state",), scale)
    return plain.gradients()


@pytest.mark.parametrize("words_per_batch", [0, 20, 3000])
def test_gradient_of_the_last_hidden_state_equals_torch(family, fresh, checkpoint, words_per_batch):
    nlp = fresh(family, words_per_batch=words_per_batch)
    add_writer(nlp)
    expected = plain_gradients(family, checkpoint(family), nlp)
    assert max(abs(g).max() for g in expected.values()) > 0.1
    assert_near(gradients_of_update(nlp), expected)


def test_all_outputs_are_used_in_one_backward_pass(family, fresh, checkpoint):
    nlp = fresh(family, output_hidden_states=True, output_attentions=True)
    outputs = ["last_hidden_state", "all_hidden_states", "all_attentions"]
    if family in WITH_POOLER:
        outputs.append("pooler_output")
    add_writer(nlp, *outputs)
    expected = plain_gradients(family, checkpoint(family), nlp, *outputs)
    assert_near(gradients_of_update(nlp), expected, atol=2e-5)


@pytest.mark.parametrize("output", ["pooler_output", "all_hidden_states", "all_attentions"])
def test_each_output_alone_equals_torch(fresh, checkpoint, output):
    nlp = fresh("bert", output_hidden_states=True, output_attentions=True)
    add_writer(nlp, output)
    expected = plain_gradients("bert", checkpoint("bert"), nlp, output)
    assert_near(gradients_of_update(nlp), expected)


def test_gradients_of_different_outputs_on_different_docs(fresh, checkpoint):
    nlp = fresh("bert", output_attentions=True)
    first = add_writer(nlp, "all_attentions", name="first")
    second = add_writer(nlp, "pooler_output", name="second")
    first.update, full_first = only(first, 0), first.update
    second.update, full_second = only(second, 2), second.update
    assert full_first is not full_second
    plain = PlainTransformer("bert", checkpoint("bert"))
    plain_backward(plain, [read(nlp, TEXTS[0])], ["all_attentions"])
    plain_backward(plain, [read(nlp, TEXTS[2])], ["pooler_output"])
    assert_near(gradients_of_update(nlp), plain.gradients())


def only(writer, index):
    """Return the update of a writer, limited to one example of the batch."""
    update = writer.update

    def update_example(examples, **kwargs):
        return update([examples[index]], **kwargs)

    return update_example


def test_gradients_of_two_components_add_up(fresh, checkpoint):
    nlp = fresh("roberta")
    add_writer(nlp, name="first")
    add_writer(nlp, name="second", scale=-0.3)
    expected = plain_gradients("roberta", checkpoint("roberta"), nlp, scale=0.7)
    assert_near(gradients_of_update(nlp), expected)


def test_gradient_set_through_spans_equals_that_of_the_doc(fresh):
    nlp = fresh("xlnet")
    writer = add_writer(nlp)
    whole = gradients_of_update(nlp)
    nlp.get_pipe("trf_tok2vec").model.shims[0]._model.zero_grad()

    def update(examples, **kwargs):
        for example in examples:
            for sentence in example.predicted.sents:
                sentence._.trf_d_last_hidden_state += writer._gradient(
                    sentence._.trf_last_hidden_state
                )

    writer.update = update
    with nlp.select_pipes(disable=["sentencizer"]):
        examples = [Example(read(nlp, text), read(nlp, text)) for text in TEXTS]
        nlp.update(examples, sgd=False)
    assert_near(get_gradients(nlp), whole)


def test_wordpieces_in_training_equal_those_of_prediction(fresh):
    nlp = fresh("bert")
    writer = add_writer(nlp)
    gradients_of_update(nlp)
    expected = [get_wordpieces(doc) for doc in nlp.pipe(TEXTS)]
    for doc, pieces in zip(writer.seen, expected, strict=True):
        numpy.testing.assert_array_equal(get_wordpieces(doc).ids, pieces.ids)
        numpy.testing.assert_array_equal(get_wordpieces(doc).lengths, pieces.lengths)


def test_truncated_tokens_have_no_gradient(fresh, checkpoint):
    nlp = fresh("bert")
    add_writer(nlp)
    text = "harbour gulls " * 30
    plain = PlainTransformer("bert", checkpoint("bert"))
    plain.max_length = nlp.get_pipe("trf_wordpiecer").tokenizer.max_length
    plain_backward(plain, [read(nlp, text)])
    with pytest.warns(UserWarning, match="TB101"):
        found = gradients_of_update(nlp, [text])
    assert_near(found, plain.gradients())


def test_gradients_of_windows_equal_torch(fresh, checkpoint):
    """Each window is a separate input. Only its own rows have a gradient, not its context."""
    import torch

    nlp = fresh("roberta", overflow="window", stride=8)
    writer = add_writer(nlp)
    found = gradients_of_update(nlp, ["The blue boat from Berlin left the harbour. " * 8])
    pieces = get_wordpieces(writer.seen[0])
    assert pieces.runs is None
    # The same as a single sentence, which needs windows.
    nlp.get_pipe("trf_tok2vec").model.shims[0]._model.zero_grad()
    found = gradients_of_update(nlp, ["The blue boat from Berlin left the harbour " * 8])
    pieces = get_wordpieces(writer.seen[0])
    assert pieces.runs is not None
    plain = PlainTransformer("roberta", checkpoint("roberta"))
    run_ends = numpy.cumsum(pieces.runs.lengths)
    own_ends = numpy.cumsum(pieces.lengths)
    start = own_start = 0
    for run_end, own_end in zip(run_ends.tolist(), own_ends.tolist(), strict=True):
        rows = pieces.runs.rows[start:run_end]
        ids = torch.tensor([pieces.ids[rows].tolist()])
        hidden = plain.model(input_ids=ids).last_hidden_state[0]
        own = torch.tensor((rows >= own_start) & (rows < own_end))
        pattern = torch.cos(torch.arange(WIDTH))
        kept = hidden[own]
        ((pattern * kept).sum() + 0.25 * (kept**2).sum()).backward()
        start, own_start = run_end, own_end
    assert_near(found, plain.gradients())


# Gradients that a component may set


def write_with(nlp, write):
    """Add a component whose update calls a function for every predicted Doc."""
    writer = add_writer(nlp, name=f"writer{len(nlp.pipe_names)}")

    def update(examples, **kwargs):
        for example in examples:
            write(example.predicted)

    writer.update = update
    return writer


def test_gradients_start_as_zeros_of_the_outputs_shape(fresh):
    nlp = fresh("bert", output_hidden_states=True, output_attentions=True)
    seen = []

    def check(doc):
        for name in ("last_hidden_state", "pooler_output", "all_hidden_states"):
            output, gradient = getattr(doc._, f"trf_{name}"), getattr(doc._, f"trf_d_{name}")
            assert gradient.shape == output.shape
            assert gradient.dtype == numpy.float32
            assert not gradient.any()
        shapes = [array.shape for array in doc._.trf_all_attentions]
        assert [array.shape for array in doc._.trf_d_all_attentions] == shapes
        seen.append(doc)

    write_with(nlp, check)
    nlp.update(make_examples(nlp, TEXTS), sgd=False)
    assert len(seen) == len(TEXTS)


def test_assigned_gradient_equals_an_added_one(fresh):
    nlp, other = fresh("bert"), fresh("bert")
    add_writer(other)

    def assign(doc):
        pattern = numpy.cos(numpy.arange(WIDTH)).astype("float32")
        doc._.trf_d_last_hidden_state = pattern + 0.5 * doc._.trf_last_hidden_state

    write_with(nlp, assign)
    assert_near(gradients_of_update(nlp), gradients_of_update(other))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_gradient_of_another_precision_is_converted(fresh, dtype):
    nlp, other = fresh("bert"), fresh("bert")
    add_writer(other, scale=0.0)

    def assign(doc):
        doc._.trf_d_last_hidden_state = numpy.ones(doc._.trf_last_hidden_state.shape, dtype=dtype)

    def assign_float32(doc):
        doc._.trf_d_last_hidden_state = numpy.ones(doc._.trf_last_hidden_state.shape, dtype="f")

    write_with(nlp, assign)
    write_with(other, assign_float32)
    assert_near(gradients_of_update(nlp), gradients_of_update(other))


def test_assigned_array_is_not_modified(fresh):
    nlp = fresh("bert")
    add_writer(nlp, name="before")
    own = {}

    def assign(doc):
        own[id(doc)] = numpy.ones(doc._.trf_last_hidden_state.shape, dtype="f")
        doc._.trf_d_last_hidden_state = own[id(doc)]

    write_with(nlp, assign)
    add_writer(nlp, name="after")
    gradients_of_update(nlp)
    for array in own.values():
        assert (array == 1).all()
        array += 1


def test_gradient_of_the_wrong_shape_is_rejected(fresh):
    nlp = fresh("bert")

    def assign(doc):
        doc._.trf_d_last_hidden_state = numpy.zeros((3, WIDTH + 1), dtype="f")

    write_with(nlp, assign)
    with pytest.raises(ValueError, match="TB014"):
        nlp.update(make_examples(nlp, TEXTS), sgd=False)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("output", ["last_hidden_state", "pooler_output", "all_attentions"])
def test_nan_and_infinity_are_rejected_and_the_next_batch_works(fresh, value, output):
    nlp, other = fresh("bert", output_attentions=True), fresh("bert", output_attentions=True)
    bad = []

    def write(doc):
        gradient = getattr(doc._, f"trf_d_{output}")
        array = gradient[0] if isinstance(gradient, list) else gradient
        if bad:
            array[..., 0] = value

    write_with(nlp, write)
    for pipeline in (nlp, other):
        add_writer(pipeline, name="writer")
    before = get_weights(nlp)
    bad.append(True)
    examples = make_examples(nlp, TEXTS[2:])
    nlp.update(examples, sgd=make_sgd())
    with pytest.raises(ValueError, match=f"TB023.*trf_d_{output}"):
        _ = nlp.get_pipe("trf_tok2vec").model
    assert_same(get_weights(nlp), before)
    assert not get_gradients(nlp)
    bad.clear()
    for pipeline in (nlp, other):
        pipeline.update(make_examples(pipeline, TEXTS[2:]), sgd=make_sgd())
    assert_near(get_weights(nlp), get_weights(other))
    assert_moved(get_weights(nlp), before)


def test_gradient_set_after_the_backward_pass_is_rejected(fresh):
    nlp = fresh("bert")
    writer = add_writer(nlp)
    gradients_of_update(nlp)
    doc = writer.seen[0]
    with pytest.raises(ValueError, match="read-only"):
        doc._.trf_d_last_hidden_state += 1.0
    with pytest.raises(ValueError, match="read-only"):
        doc[0:2]._.trf_d_last_hidden_state += 1.0


def test_head_updated_after_the_backward_pass_is_rejected(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    write_with(nlp, lambda doc: get_weights(nlp))  # access to the weights runs the backward pass
    textcat = nlp.add_pipe("trf_textcat")
    examples = make_examples(nlp, TEXTS, lambda i: {"cats": {"A": float(i == 0), "B": i != 0}})
    textcat.initialize(lambda: examples, nlp=nlp)
    with pytest.raises(ValueError, match="TB024"):
        nlp.update(examples, sgd=make_sgd())


def test_gradients_are_reset_at_the_next_update(fresh):
    """The Docs may be the same if components are updated one by one."""
    nlp, other = fresh("bert"), fresh("bert")
    writer, tok2vec = add_writer(nlp), nlp.get_pipe("trf_tok2vec")
    examples = make_examples(nlp, TEXTS)
    nlp.get_pipe("trf_wordpiecer").update(examples)
    for _ in range(2):
        tok2vec.update(examples)
        for example in examples:
            assert not example.predicted._.trf_d_last_hidden_state.any()
        writer.update(examples)
    add_writer(other, scale=2.0)
    examples = [Example(example.reference.copy(), example.reference) for example in examples]
    with other.select_pipes(disable=["sentencizer"]):
        assert_near(get_gradients(nlp), gradients_of_update(other, TEXTS))


# Degenerate batches


def test_batch_of_docs_without_tokens_changes_nothing(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    before = get_weights(nlp)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.update(make_examples(nlp, ["", ""]), sgd=make_sgd())
        assert_same(get_weights(nlp), before)


def test_empty_list_of_examples_changes_nothing(fresh):
    nlp = fresh("bert")
    add_writer(nlp)
    before = get_weights(nlp)
    assert nlp.update([], sgd=make_sgd()) == {}
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        nlp.get_pipe(name).update([], sgd=None, losses={})
    assert_same(get_weights(nlp), before)


# Finite differences, in float64


def test_chain_equals_finite_differences_in_float64(fresh, monkeypatch):
    """Wordpieces -> transformer -> alignment -> tokens, with the package's own layers."""
    import torch

    nlp = fresh("bert", words_per_batch=20)
    docs = list(nlp.pipe(TEXTS))
    layer = nlp.get_pipe("trf_tok2vec").model
    get_module(nlp).double()
    # The layer always returns float32, which would round the finite differences.
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    for name in ("empty", "zeros"):
        monkeypatch.setattr(torch, name, partial(getattr(torch, name), dtype=torch.float64))
    pieces = [get_wordpieces(doc) for doc in docs]
    links = [get_alignment(doc) for doc in docs]

    def forward():
        activations, backprop = layer.begin_update(pieces)
        loss, gradients = 0.0, []
        for alignment, activation in zip(links, activations, strict=True):
            hidden = activation.last_hidden_state
            (rows,), transpose = apply_alignment(layer.ops, alignment, [hidden])
            assert rows.dtype == numpy.float64
            d_rows = numpy.cos(numpy.arange(rows.size)).reshape(rows.shape)
            loss += float((d_rows * rows).sum())
            gradients.append(Activations(transpose([d_rows])[0]))
        return loss, partial(backprop, gradients)

    forward()[1]()
    random = numpy.random.default_rng(0)
    checked = 0
    for name, weights in get_module(nlp).named_parameters():
        if weights.grad is None:
            continue
        direction = torch.from_numpy(random.normal(size=tuple(weights.shape)))
        original, sides = weights.data, []
        for step in (1e-6, -1e-6):
            weights.data = original + step * direction
            sides.append(forward()[0])
        weights.data = original
        difference = (sides[0] - sides[1]) / 2e-6
        expected = float((weights.grad * direction).sum())
        assert difference == pytest.approx(expected, rel=1e-6, abs=1e-7), name
        checked += 1
    assert checked > 30


@pytest.mark.parametrize("layer", [ClassVectors(), MeanVectors()], ids=["class", "mean"])
def test_unpool_is_the_transpose_of_pool(fresh, layer):
    """Both are linear: the products pool(x) · y and x · unpool(y) are equal."""
    nlp = fresh("xlnet")
    random = numpy.random.default_rng(0)
    for doc in nlp.pipe(text for text in TEXTS if text):
        outputs, pieces = doc._.trf_outputs, get_wordpieces(doc)
        vectors = layer.pooling.pool(layer.ops, outputs, pieces)
        d_vectors = random.normal(size=vectors.shape).astype("f")
        spread = layer.pooling.unpool(layer.ops, d_vectors, outputs, pieces)
        assert spread.shape == outputs.last_hidden_state.shape
        left = float((vectors * d_vectors).sum())
        right = float((outputs.last_hidden_state * spread).sum())
        assert left == pytest.approx(right, rel=1e-4, abs=1e-4)
