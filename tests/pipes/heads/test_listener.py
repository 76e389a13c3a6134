"""`Tok2VecListener`: gradients and steps equal plain torch; connections to the transformer."""

from __future__ import annotations

import warnings

import numpy
import pytest
import spacy
from spacy_heads import (
    add_head,
    annotated_examples,
    initialize_heads,
    listeners_of,
    randomize_heads,
)
from tiny import FAMILIES, WIDTH
from token_loss import LISTENER, TokenLoss, plain_token_loss, text_examples
from torch_oracle import (
    ADAM,
    PlainAdam,
    PlainTransformer,
    assert_near,
    get_gradients,
    get_weights,
    make_adam,
    read,
)

from trf_bridge.pipes.heads.listener import Tok2VecListener

pytestmark = pytest.mark.usefixtures("fixed_seed")

TEXTS = ["Anna counted the boats. Robert isn't here!", "", "state-of-the-art Straßenbahn 👍🏽", "A"]


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_equal_torch(fresh, checkpoint, name):
    nlp = fresh(name)
    nlp.add_pipe("test_token_loss")
    plain = PlainTransformer(name, checkpoint(name))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_grad_factor_scales_the_gradient(fresh, checkpoint, factor):
    nlp = fresh("bert")
    nlp.add_pipe("test_token_loss", config={"listener": {**LISTENER, "grad_factor": factor}})
    plain = PlainTransformer("bert", checkpoint("bert"))
    if factor:
        for text in TEXTS:
            if text:
                plain_token_loss(plain, read(nlp, text), factor).backward()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*TB102")
        nlp.update(text_examples(nlp, TEXTS), sgd=False)
        assert_near(get_gradients(nlp), plain.gradients())


def test_steps_equal_a_plain_torch_loop(fresh, checkpoint):
    nlp = fresh("xlnet")
    nlp.add_pipe("test_token_loss")
    plain, adam, optimizer = PlainTransformer("xlnet", checkpoint("xlnet")), PlainAdam(**ADAM), None
    optimizer = make_adam()
    for _ in range(3):
        nlp.update(text_examples(nlp, TEXTS), sgd=optimizer)
        for text in TEXTS:
            if text:
                plain_token_loss(plain, read(nlp, text)).backward()
        adam.step(plain.model, 0.01)
    assert_near(get_weights(nlp), plain.weights())


class CopyingTokenLoss(TokenLoss):
    """Train on copies of the examples, as spaCy's entity linker does with gold entities."""

    def update(self, examples, **kwargs):
        return super().update([example.copy() for example in examples], **kwargs)


@spacy.Language.factory("test_copying_token_loss", default_config={"listener": LISTENER})
def make_copying_token_loss(nlp, name, listener):
    return CopyingTokenLoss(listener)


def test_gradient_of_a_head_that_trains_on_copies(fresh, checkpoint):
    nlp = fresh("bert")
    nlp.add_pipe("test_copying_token_loss")
    plain = PlainTransformer("bert", checkpoint("bert"))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


def test_gradients_of_two_listeners_add_up(fresh, checkpoint):
    nlp = fresh("bert")
    nlp.add_pipe("test_token_loss", name="first", config={"scale": 0.25})
    nlp.add_pipe("test_token_loss", name="second", config={"scale": 0.75})
    plain = PlainTransformer("bert", checkpoint("bert"))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients())


# Connections


def test_listener_has_the_width_of_the_transformer(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    (listener,) = listeners_of(nlp, "tagger")
    assert listener.get_dim("nO") == WIDTH
    tok2vec = nlp.get_pipe("trf_tok2vec")
    assert tok2vec.listening_components == ["tagger"]
    assert tok2vec.listeners == [listener]
    assert tok2vec.remove_listener(listener, "tagger")
    assert not tok2vec.remove_listener(listener, "tagger")
    assert tok2vec.listening_components == []


def test_listener_connects_to_its_upstream_component(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger", {**LISTENER, "upstream": "other"})
    with pytest.raises(ValueError, match=r"TB020.*'other'"):
        initialize_heads(nlp, "tagger")
    add_head(nlp, "tagger", {**LISTENER, "upstream": "trf_tok2vec"}, name="second")
    initialize_heads(nlp, "second")


def test_missing_transformer_is_rejected(checkpoint):
    nlp = spacy.blank("en")
    add_head(nlp, "tagger")
    with pytest.raises(ValueError, match="TB020"):
        nlp.initialize(lambda: annotated_examples(nlp))


def test_transformer_after_its_head_is_rejected(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger", before="trf_tok2vec")
    with pytest.raises(ValueError, match="TB020"):
        initialize_heads(nlp, "tagger")


@pytest.mark.parametrize("how", ["disabled", "removed", "excluded", "behind"])
def test_transformer_unavailable_after_initialize_is_rejected(fresh, tmp_path, how):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    if how == "disabled":
        nlp.disable_pipe("trf_tok2vec")
    elif how == "removed":
        nlp.remove_pipe("trf_tok2vec")
    elif how == "excluded":
        nlp.to_disk(tmp_path / "saved")
        nlp = spacy.load(tmp_path / "saved", exclude=["trf_tok2vec"])
    else:
        tagger = nlp._components.pop()
        nlp._components.insert(2, tagger)
    # Without a transformer, the listener of a loaded head does not have the name of its component.
    name = "A component with a listener" if how == "excluded" else "'tagger'"
    with pytest.raises(ValueError, match=rf"TB021\] {name} received"):
        nlp("A boat.")
    if how != "behind":
        with pytest.raises(ValueError, match=rf"TB021\] {name} received"):
            nlp.update(annotated_examples(nlp), sgd=make_adam())


def test_frozen_transformer_that_does_not_annotate_is_rejected(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    with pytest.raises(ValueError, match=r"TB021.*annotating_components"):
        nlp.update(annotated_examples(nlp), sgd=make_adam(), exclude=["trf_tok2vec"])


def test_rows_of_another_width_are_rejected(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    doc = nlp.make_doc("A boat.")
    doc.tensor = numpy.zeros((3, WIDTH + 1), dtype="f")
    with pytest.raises(ValueError, match=f"TB021.*3 x {WIDTH + 1}"):
        nlp.get_pipe("tagger")(doc)


def test_initialize_leaves_no_zero_rows_on_its_docs(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    examples = annotated_examples(nlp)
    nlp.get_pipe("tagger").initialize(lambda: examples, nlp=nlp)
    randomize_heads(nlp, "tagger")
    doc = examples[0].reference
    with nlp.select_pipes(disable=["trf_tok2vec"]), pytest.raises(ValueError, match="TB021"):
        nlp(doc)
    expected = [token.tag_ for token in nlp(doc.text)]
    assert [token.tag_ for token in nlp(doc)] == expected


def test_head_predicts_on_retokenized_docs(fresh):
    """`doc.tensor` and the alignment are updated for the new tokens."""
    nlp = fresh("bert")
    nlp.add_pipe("merge_entities", after="trf_tok2vec")
    ruler = nlp.add_pipe("entity_ruler", before="merge_entities")
    ruler.add_patterns([{"label": "THING", "pattern": "the boats"}])
    add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    doc = nlp("Anna counted the boats.")
    assert [token.text for token in doc] == ["Anna", "counted", "the boats", "."]
    assert all(token.tag_ for token in doc)


def test_width_of_the_config_is_checked_against_the_transformer(fresh):
    nlp = fresh("bert")
    width = nlp.get_pipe("trf_tok2vec").model.get_dim("nO")
    layer = Tok2VecListener(width=width)
    assert layer.get_dim("nO") == width
    listener = {"@architectures": "trf_bridge.Tok2VecListener.v1", "width": width + 1}
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    with pytest.raises(ValueError, match="TB027"):
        nlp.add_pipe("tagger", config={"model": model})
