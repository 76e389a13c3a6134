"""Every family, end to end: predicting, every output, fine-tuning, saving."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy
import oracles
import pytest
import spacy
from spacy.training import Example
from tiny import ALL_FAMILIES, HEADS, LAYERS, MAX_LENGTH, WIDTH
from token_loss import plain_token_loss, text_examples
from torch_oracle import (
    ADAM,
    CLASS,
    MEAN,
    POOLER,
    PlainAdam,
    PlainTextcat,
    PlainTransformer,
    add_writer,
    assert_moved,
    assert_near,
    get_gradients,
    get_module,
    get_weights,
    head_gradients,
    make_adam,
    make_examples,
    plain_backward,
    randomize,
    read,
)

from trf_bridge.pipes.doc.records import get_wordpieces
from trf_bridge.wrappers.models.layer import get_traits
from trf_bridge.wrappers.training.freezing import find_depths


class Kind(NamedTuple):
    """The properties of a family that not all families share."""

    class_token: bool = False
    pooler: bool = False
    type_ids: bool = False
    boundary: int = 2  # boundary pieces of a sentence
    max_length: int | None = MAX_LENGTH
    n_layers: int = LAYERS  # with weights of their own
    ignores_padding: bool = True
    # Weights outside of the layers, below and above them, by the start of their names.
    below: tuple[str, ...] = ("embeddings.",)
    above: tuple[str, ...] = ()


KINDS = {
    "bert": Kind(True, True, True, above=("pooler.",)),
    "roberta": Kind(True, True, above=("pooler.",)),
    "xlm_roberta": Kind(True, True, above=("pooler.",)),
    "camembert": Kind(True, True, above=("pooler.",)),
    "xlnet": Kind(
        True, type_ids=True, max_length=None, below=("word_embedding.",), above=("mask_emb",)
    ),
    "gpt2": Kind(boundary=0, below=("wte.", "wpe."), above=("ln_f.",)),
    "gpt1": Kind(boundary=0, below=("tokens_embed.", "positions_embed.")),
    "xlm": Kind(
        True, type_ids=True, below=("position_embeddings.", "embeddings.", "layer_norm_emb.")
    ),
    "t5": Kind(boundary=1, below=("shared.",), above=("encoder.final_layer_norm.",)),
    "bart": Kind(True, below=("embed_tokens.", "embed_positions.", "layernorm_embedding.")),
    "distilbert": Kind(True),
    "albert": Kind(
        True,
        True,
        True,
        n_layers=1,
        below=("embeddings.", "encoder.embedding_hidden_mapping_in."),
        above=("pooler.",),
    ),
    "electra": Kind(True, type_ids=True, below=("embeddings.", "embeddings_project.")),
    "deberta_v2": Kind(
        True, type_ids=True, below=("embeddings.", "encoder.rel_embeddings.", "encoder.LayerNorm.")
    ),
    "mpnet": Kind(
        True, True, below=("embeddings.", "encoder.relative_attention_bias."), above=("pooler.",)
    ),
    "mobilebert": Kind(True, True, True, ignores_padding=False, above=("pooler.",)),
    "modernbert": Kind(True, above=("final_norm.",)),
    "llama": Kind(boundary=1, below=("embed_tokens.",), above=("norm.",)),
    "qwen": Kind(boundary=0, below=("embed_tokens.",), above=("norm.",)),
}

TEXTS = [
    "My name is Robert. Apple pie is delicious! Is it?",
    "",
    "The tide had gone out and left the harbour to the gulls.",
    "Straßenbahn 北京 👍🏽 state-of-the-art. Perhaps.",
    "A",
    "Laced with dreams — dripping in reality, Apple shares rose on the news.\r\n\r\nYes... no.",
]

ALL_OUTPUTS = {"output_hidden_states": True, "output_attentions": True}

each_family = pytest.mark.parametrize("name", ALL_FAMILIES)

pytestmark = pytest.mark.usefixtures("fixed_seed")


def sentences_of(nlp: Any, doc: Any, folder: Any) -> list[oracles.Sentence]:
    tokenizer = oracles.load_plain_tokenizer(folder)
    return oracles.plain_sentences(
        doc, tokenizer, nlp.get_pipe("trf_wordpiecer").tokenizer.max_length
    )


def test_every_family_is_described():
    assert KINDS.keys() == ALL_FAMILIES.keys()


@each_family
def test_family_is_of_its_kind(name, pipeline):
    nlp, kind = pipeline(name), KINDS[name]
    tokenizer, traits = (
        nlp.get_pipe("trf_wordpiecer").tokenizer,
        get_traits(nlp.get_pipe("trf_tok2vec").model),
    )
    assert (tokenizer.class_id is not None) == kind.class_token
    assert traits.pooler_width == (WIDTH if kind.pooler else 0)
    assert tokenizer.type_ids == kind.type_ids
    assert tokenizer.max_length == kind.max_length
    assert traits.ignores_padding == kind.ignores_padding
    assert get_wordpieces(nlp("Perhaps")).boundary.sum() == kind.boundary
    assert sum(weights.size for weights in get_weights(nlp).values()) < 20_000


# Predicting


@each_family
@pytest.mark.parametrize("words_per_batch", [0, 40])
def test_every_output_equals_plain_transformers_sentence_by_sentence(
    name, words_per_batch, pipeline, checkpoint
):
    import torch

    nlp = pipeline(name, words_per_batch=words_per_batch, **ALL_OUTPUTS)
    plain = oracles.load_plain(name, checkpoint(name)).eval()
    for doc in nlp.pipe(TEXTS):
        sentences = sentences_of(nlp, doc, checkpoint(name))
        assert doc._.trf_word_pieces.tolist() == [i for s in sentences for i in s.ids]
        with torch.no_grad():
            runs = [oracles.run_plain(plain, s.ids, s.type_ids, **ALL_OUTPUTS) for s in sentences]
        check_outputs(doc, runs, KINDS[name])
        links = oracles.align_doc(doc, sentences)
        assert doc._.trf_alignment == links
        expected = oracles.weighted_sum(links, doc._.trf_last_hidden_state)
        numpy.testing.assert_allclose(doc.tensor, expected, atol=1e-5, rtol=1e-5)


def check_outputs(doc: Any, runs: list[Any], kind: Kind) -> None:
    """Compare the outputs on a Doc with those of a plain model for each sentence."""
    if not runs:
        assert doc._.trf_last_hidden_state.shape == (0, WIDTH)
        return
    hidden = numpy.concatenate([run.last_hidden_state[0] for run in runs])
    numpy.testing.assert_allclose(doc._.trf_last_hidden_state, hidden, atol=1e-5, rtol=1e-5)
    states = [numpy.stack([state[0] for state in run.hidden_states]) for run in runs]
    assert len(states[0]) == LAYERS + 1
    numpy.testing.assert_allclose(
        doc._.trf_all_hidden_states, numpy.concatenate(states, axis=1), atol=1e-5, rtol=1e-5
    )
    for found, run in zip(doc._.trf_all_attentions, runs, strict=True):
        expected = numpy.stack([attention[0] for attention in run.attentions])
        assert expected.shape[:2] == (LAYERS, HEADS)
        numpy.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    if kind.pooler:
        pooled = numpy.concatenate([run.pooler_output for run in runs])
        numpy.testing.assert_allclose(doc._.trf_pooler_output, pooled, atol=1e-5, rtol=1e-5)
    else:
        assert doc._.trf_pooler_output is None


@each_family
def test_long_input_in_windows_loses_nothing(name, pipeline):
    text = "My name is Robert and the tide had gone out, " * 8
    doc = pipeline(name, overflow="window", stride=8)(text)
    hidden = doc._.trf_last_hidden_state
    assert {row for rows in doc._.trf_alignment for row in rows} == set(range(len(hidden)))
    assert (len(get_wordpieces(doc).lengths) > 1) == (KINDS[name].max_length is not None)
    numpy.testing.assert_allclose(doc.tensor.sum(axis=0), hidden.sum(axis=0), rtol=1e-4, atol=1e-4)


@each_family
def test_texts_without_wordpieces_are_predicted_and_trained_on(name, fresh):
    nlp = fresh(name, **ALL_OUTPUTS)
    add_writer(nlp, "last_hidden_state", "all_attentions")
    texts = [" ", "\n\n", "\u200b", "\x00", "\ufffd", "", "[SEP]"]
    for batch in [texts, *([text] for text in texts)]:
        for doc in nlp.pipe(batch):
            n_pieces = len(doc._.trf_word_pieces)
            assert doc._.trf_last_hidden_state.shape == (n_pieces, WIDTH)
            assert doc.tensor.shape == (len(doc), WIDTH)
            assert numpy.isfinite(doc.tensor).all()
    nlp.update(make_examples(nlp, texts), sgd=False)
    assert all(numpy.isfinite(gradient).all() for gradient in get_gradients(nlp).values())


# Fine-tuning


@each_family
def test_gradients_of_all_outputs_equal_torch(name, fresh, checkpoint):
    nlp = fresh(name, words_per_batch=60, **ALL_OUTPUTS)
    outputs = ["last_hidden_state", "all_hidden_states", "all_attentions"]
    if KINDS[name].pooler:
        outputs.append("pooler_output")
    add_writer(nlp, *outputs)
    plain = PlainTransformer(name, checkpoint(name))
    plain_backward(plain, [read(nlp, text) for text in TEXTS], outputs)
    nlp.update(make_examples(nlp, TEXTS), sgd=False)
    assert max(abs(gradient).max() for gradient in plain.gradients().values()) > 0.1
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


@each_family
def test_steps_equal_a_plain_torch_loop(name, fresh, checkpoint):
    nlp = fresh(name)
    add_writer(nlp)
    plain, adam, optimizer = (
        PlainTransformer(name, checkpoint(name)),
        PlainAdam(**ADAM),
        make_adam(),
    )
    start = get_weights(nlp)
    for _ in range(2):
        nlp.update(make_examples(nlp, TEXTS), sgd=optimizer)
        plain_backward(plain, [read(nlp, text) for text in TEXTS])
        adam.step(plain.model, 0.01)
    assert_near(get_weights(nlp), plain.weights())
    assert_moved(get_weights(nlp), start)


def add_textcat(nlp: Any, architecture: str) -> Any:
    textcat = nlp.add_pipe("trf_textcat", config={"model": {"@architectures": architecture}})
    textcat.initialize(lambda: labelled(nlp), nlp=nlp)
    randomize(textcat)
    return textcat


CATS = [{"SEA": float(i % 2), "BAKING": float(not i % 2)} for i in range(len(TEXTS))]


def labelled(nlp: Any) -> list[Example]:
    return make_examples(nlp, TEXTS, lambda i: {"cats": CATS[i]})


@each_family
@pytest.mark.parametrize("architecture", [MEAN, CLASS, POOLER])
def test_textcat_equals_torch(name, architecture, fresh, checkpoint):
    nlp, kind = fresh(name), KINDS[name]
    if (architecture == CLASS and not kind.class_token) or (
        architecture == POOLER and not kind.pooler
    ):
        with pytest.raises(ValueError, match=r"^\[TB022\]"):
            add_textcat(nlp, architecture)
        return
    textcat = add_textcat(nlp, architecture)
    plain = PlainTextcat(PlainTransformer(name, checkpoint(name)), textcat, architecture)
    docs = [read(nlp, text) for text in TEXTS]
    expected = plain.probabilities(docs)
    found = [list(doc.cats.values()) for doc in nlp.pipe(TEXTS)]
    numpy.testing.assert_allclose(found, expected, atol=1e-5)
    plain.backward(docs, CATS)
    nlp.update(labelled(nlp), sgd=False)
    assert_near(head_gradients(textcat), plain.head_gradients())
    assert_near(get_gradients(nlp), plain.plain.gradients())


@each_family
def test_gradient_of_a_listener_equals_torch(name, fresh, checkpoint):
    nlp = fresh(name)
    nlp.add_pipe("test_token_loss")
    plain = PlainTransformer(name, checkpoint(name))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


@each_family
def test_checkpointing_gives_the_same_gradients_or_is_refused(name, fresh):
    architecture = type(get_module(fresh(name)))
    if not architecture.supports_gradient_checkpointing:
        with pytest.raises(ValueError, match=rf"^\[TB030\] .*{architecture.__name__}"):
            fresh(name, gradient_checkpointing=True)
        return
    found = []
    for checkpointing in (False, True):
        nlp = fresh(name, gradient_checkpointing=checkpointing)
        add_writer(nlp)
        nlp.update(make_examples(nlp, TEXTS), sgd=False)
        found.append(get_gradients(nlp))
    assert_near(*found)


@each_family
def test_dropout_of_an_update_reaches_the_model(name, fresh):
    """The numbers differ from those of prediction, which do not change."""
    nlp = fresh(name)
    writer = add_writer(nlp)
    before = nlp(TEXTS[0])._.trf_last_hidden_state
    nlp.update(make_examples(nlp, TEXTS[:1]), sgd=False, drop=0.3)
    trained = writer.seen[0]._.trf_last_hidden_state
    assert abs(trained - before).max() > 1e-3
    numpy.testing.assert_array_equal(nlp(TEXTS[0])._.trf_last_hidden_state, before)


@each_family
def test_depths_are_found(name, pipeline):
    module, kind = get_module(pipeline(name)), KINDS[name]
    embeddings, layers = find_depths(module)
    assert len(layers) == kind.n_layers
    of_layers = {id(weights) for layer in layers for weights in layer}
    below = {id(weights) for weights in embeddings}
    assert not below & of_layers
    for weights_name, weights in module.named_parameters():
        is_below, is_above = (
            weights_name.startswith(p) for p in (kind.below, kind.above or ("-",))
        )
        assert (id(weights) in below) == is_below, weights_name
        assert (id(weights) in of_layers) == (not is_below and not is_above), weights_name


# Saving


@each_family
def test_saved_pipeline_gives_the_same_bits(name, pipeline, tmp_path):
    nlp = pipeline(name)
    nlp.to_disk(tmp_path)
    of_bytes = spacy.blank("en")
    for pipe in nlp.pipe_names:
        of_bytes.add_pipe(pipe)
    for loaded in (spacy.load(tmp_path), of_bytes.from_bytes(nlp.to_bytes())):
        for one, two in zip(loaded.pipe(TEXTS), nlp.pipe(TEXTS), strict=True):
            assert one._.trf_word_pieces_ == two._.trf_word_pieces_
            assert one._.trf_alignment == two._.trf_alignment
            assert numpy.array_equal(one.tensor, two.tensor)
    assert get_weights(loaded).keys() == get_weights(nlp).keys()
