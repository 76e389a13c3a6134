"""Heads with a transformer of their own: replaced listeners and `Tok2VecTransformer`."""

from __future__ import annotations

import numpy
import pytest
import spacy
from spacy.util import registry
from spacy_heads import (
    CONFIGS,
    add_head,
    annotated_examples,
    initialize_heads,
    predictions,
    randomize_heads,
)
from tiny import WIDTH
from token_loss import plain_token_loss, text_examples
from torch_oracle import (
    PlainTransformer,
    assert_moved,
    assert_near,
    assert_same,
    get_module,
    get_weights,
    make_adam,
    make_sgd,
    module_weights,
    peek_module,
    read,
)

pytestmark = pytest.mark.usefixtures("fixed_seed")

TEXTS = ["Anna counted the boats. Robert isn't here!", "", "state-of-the-art Straßenbahn 👍🏽", "A"]


@pytest.mark.parametrize("component", [c for c in CONFIGS if c != "entity_linker"])
@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_replaced_listener_predicts_the_same_and_trains_and_saves(fresh, tmp_path, component):
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize_heads(nlp, component)
    randomize_heads(nlp, component, scale=0.1)
    spacy.util.fix_random_seed(0)  # the parser splits its training sequences at random
    nlp.update(annotated_examples(nlp), sgd=make_adam())  # pending when the copy is made
    nlp.replace_listeners("trf_tok2vec", component, ["model.tok2vec"])
    head = nlp.get_pipe(component)
    own = own_module(head)
    assert own is not get_module(nlp)
    assert_same(module_weights(own), get_weights(nlp))
    expected = predictions(nlp)
    with_listener = fresh("bert")
    add_head(with_listener, component)
    initialize_heads(with_listener, component)
    randomize_heads(with_listener, component, scale=0.1)
    spacy.util.fix_random_seed(0)
    with_listener.update(annotated_examples(with_listener), sgd=make_adam())
    assert predictions(with_listener) == expected
    shared, before = get_weights(nlp), module_weights(own)
    spacy.util.fix_random_seed(0)
    nlp.update(annotated_examples(nlp), sgd=make_adam(), exclude=["trf_tok2vec"])
    assert_same(get_weights(nlp), shared)
    assert_moved(module_weights(own), before, 1e-5)
    spacy.util.fix_random_seed(0)
    with_listener.update(annotated_examples(with_listener), sgd=make_adam())
    assert_near(module_weights(own), get_weights(with_listener), atol=2e-5)
    randomize_heads(nlp, component, seed=2, scale=0.1)  # some heads have converged
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert predictions(loaded) == predictions(nlp)
    own_of_loaded = own_module(loaded.get_pipe(component))
    assert_same(module_weights(own_of_loaded), module_weights(own))
    before = module_weights(own)
    for pipeline in (loaded, nlp):
        spacy.util.fix_random_seed(0)
        pipeline.update(annotated_examples(pipeline), sgd=make_adam(), exclude=["trf_tok2vec"])
    assert_moved(module_weights(own_of_loaded), before, 1e-5)
    # Loaded again, spaCy's lemmatizer extracts other labels from the same data.
    if component != "trainable_lemmatizer":
        assert_near(module_weights(own_of_loaded), module_weights(own), atol=2e-5)


def own_module(head):
    (shim,) = [shim for node in head.model.walk() for shim in node.shims]
    return shim._model


@pytest.mark.parametrize("component", ["tagger", "parser", "ner", "spancat", "textcat"])
@pytest.mark.filterwarnings("ignore:.*W0")
def test_replaced_listener_can_be_initialized_again(fresh, component):
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize_heads(nlp, component)
    nlp.replace_listeners("trf_tok2vec", component, ["model.tok2vec"])
    initialize_heads(nlp, component)
    predictions(nlp)
    nlp.update(annotated_examples(nlp), sgd=make_adam(), exclude=["trf_tok2vec"])


def test_replaced_listener_works_without_the_shared_transformer(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    randomize_heads(nlp, "tagger")
    expected = predictions(nlp)
    nlp.replace_listeners("trf_tok2vec", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("trf_tok2vec")
    assert predictions(nlp) == expected
    nlp.remove_pipe("trf_wordpiecer")
    with pytest.raises(ValueError, match="TB011"):
        nlp("A boat.")


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
def test_standalone_transformer_equals_torch(checkpoint, fresh, factor):
    nlp = fresh("bert")
    plain = PlainTransformer("bert", checkpoint("bert"))
    layer = registry.architectures.get("trf_bridge.Tok2VecTransformer.v1")(
        str(checkpoint("bert")), grad_factor=factor
    )
    layer.initialize()
    assert layer.get_dim("nO") == WIDTH
    docs = [read(nlp, text) for text in TEXTS]
    for doc in docs:
        nlp.get_pipe("trf_wordpiecer")(doc)
    rows, backprop = layer.begin_update(docs)
    for doc, row in zip(docs, rows, strict=True):
        assert row.shape == (len(doc), WIDTH)
        if len(doc):
            expected = plain.token_rows(doc).detach().numpy()
            numpy.testing.assert_allclose(row, expected, atol=1e-5)
            plain_token_loss(plain, doc, factor).backward()
    backprop([(row - numpy.cos(numpy.arange(WIDTH))).astype("f") for row in rows])
    (shim,) = [shim for node in layer.walk() for shim in node.shims]
    gradients = {n: w.grad.numpy() for n, w in shim._model.named_parameters() if w.grad is not None}
    assert_near(gradients, plain.gradients())
    assert layer.predict([]) == []


def test_standalone_transformer_with_empty_docs(fresh):
    """Docs without tokens have zero rows of the right width."""
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    nlp.replace_listeners("trf_tok2vec", "tagger", ["model.tok2vec"])
    examples = text_examples(nlp, ["", ""])
    before = module_weights(own_module(nlp.get_pipe("tagger")))
    nlp.update(examples, sgd=make_sgd(), exclude=["trf_tok2vec"])
    assert_same(module_weights(own_module(nlp.get_pipe("tagger"))), before)
    assert [len(doc) for doc in nlp.pipe(["", ""])] == [0, 0]


def test_model_with_a_listener_can_be_copied_for_rehearsal(fresh):
    """spaCy copies the model of a head for rehearsal."""
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    nlp.update(annotated_examples(nlp), sgd=make_adam())
    nlp.resume_training()
    assert nlp.get_pipe("tagger")._rehearsal_model is not None
    assert_near(get_weights(nlp), module_weights(peek_module(nlp)))
