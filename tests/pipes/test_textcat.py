"""Text classification: scores, gradients and steps equal plain torch; labels; errors."""

from __future__ import annotations

import numpy
import pytest
import spacy
from spacy.training import Example
from tiny import FAMILIES
from torch_oracle import (
    ADAM,
    CLASS,
    MEAN,
    POOLER,
    TANH,
    PlainAdam,
    PlainTextcat,
    PlainTransformer,
    assert_moved,
    assert_near,
    assert_same,
    get_gradients,
    get_weights,
    head_gradients,
    head_nodes,
    head_weights,
    make_adam,
    make_examples,
    make_sgd,
    randomize,
    read,
)

pytestmark = pytest.mark.usefixtures("fixed_seed")

LABELS = ["MARITIME", "BAKING", "OTHER"]
TEXTS = [
    "The tide had gone out. Anna Berger counted the boats! Is it?",
    "Bake it at 180 degrees for fifty minutes.",
    "",
    "Yes... no. Perhaps.",
    "A",
]
EXCLUSIVE = [{label: float(label == LABELS[i % 3]) for label in LABELS} for i in range(len(TEXTS))]
MULTI = [{label: float((i + j) % 2) for j, label in enumerate(LABELS)} for i in range(len(TEXTS))]
COMBINATIONS = [
    *[(name, CLASS) for name in ("bert", "roberta", "xlnet", "xlm_roberta")],
    *[(name, TANH) for name in ("bert", "xlnet")],
    *[(name, POOLER) for name in ("bert", "roberta")],
    *[(name, MEAN) for name in FAMILIES],
]


def cats(exclusive):
    return EXCLUSIVE if exclusive else MULTI


def labelled(nlp, texts=TEXTS, given=EXCLUSIVE):
    return make_examples(nlp, texts, lambda i: {"cats": given[i % len(given)]})


def add_textcat(nlp, architecture=CLASS, exclusive=True, name="trf_textcat", initialize=True):
    config = {"model": {"@architectures": architecture, "exclusive_classes": exclusive}}
    textcat = nlp.add_pipe("trf_textcat", name=name, config=config)
    if initialize:
        textcat.initialize(lambda: labelled(nlp, given=cats(exclusive)), nlp=nlp)
        randomize(textcat)
    return textcat


# Comparison with plain torch


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
@pytest.mark.parametrize(("name", "architecture"), COMBINATIONS)
def test_scores_and_gradients_equal_torch(fresh, checkpoint, name, architecture, exclusive):
    nlp = fresh(name)
    textcat = add_textcat(nlp, architecture, exclusive)
    plain = PlainTextcat(PlainTransformer(name, checkpoint(name)), textcat, architecture)
    docs = [read(nlp, text) for text in TEXTS]
    expected = plain.probabilities(docs)
    predicted = textcat.predict([read_all(nlp, text) for text in TEXTS])
    numpy.testing.assert_allclose(predicted, expected, atol=1e-5)
    for doc, row in zip(nlp.pipe(text for text in TEXTS if text), expected[[0, 1, 3, 4]], strict=1):
        assert list(doc.cats) == list(textcat.labels)
        numpy.testing.assert_allclose(list(doc.cats.values()), row, atol=1e-5)
    plain.backward(docs, cats(exclusive))
    nlp.update(labelled(nlp, given=cats(exclusive)), sgd=False)
    assert_near(head_gradients(textcat), plain.head_gradients())
    assert_near(get_gradients(nlp), plain.plain.gradients())
    assert max(abs(g).max() for g in plain.plain.gradients().values()) > 0.01


def read_all(nlp, text):
    """Make a Doc and run all components before the head on it."""
    doc = nlp.make_doc(text)
    for name in ("sentencizer", "trf_wordpiecer", "trf_tok2vec"):
        doc = nlp.get_pipe(name)(doc)
    return doc


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
def test_steps_of_head_and_transformer_equal_a_plain_torch_loop(fresh, checkpoint, exclusive):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, TANH, exclusive)
    start = get_weights(nlp)
    plain = PlainTextcat(PlainTransformer("bert", checkpoint("bert")), textcat, TANH)
    adam, optimizer = PlainAdam(**ADAM), make_adam([0.01, 0.003, 0.02])
    docs = [read(nlp, text) for text in TEXTS]
    for rate in (0.01, 0.003, 0.02):
        nlp.update(labelled(nlp, given=cats(exclusive)), sgd=optimizer)
        optimizer.step_schedules()
        plain.backward(docs, cats(exclusive))
        adam.step(plain.module, rate)
    assert_near(head_weights(textcat), plain.head_weights(), atol=2e-5)
    assert_near(get_weights(nlp), plain.plain.weights(), atol=2e-5)
    assert_moved(get_weights(nlp), start)


def test_class_vector_is_that_of_the_tokenizers_class_token(fresh):
    for name, place in [("bert", 0), ("xlnet", -1)]:
        nlp = fresh(name)
        textcat = add_textcat(nlp)
        doc = read_all(nlp, "My name is Robert.")
        vector = doc._.trf_last_hidden_state[place]
        (output,) = head_nodes(textcat)
        scores = output.get_param("W") @ vector + output.get_param("b")
        expected = numpy.exp(scores) / numpy.exp(scores).sum()
        numpy.testing.assert_allclose(textcat.predict([doc])[0], expected, atol=1e-5)


def test_dropout_is_applied_in_training_only(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp)
    before = textcat.predict([read_all(nlp, TEXTS[0])])
    nlp.update(labelled(nlp), sgd=False, drop=0.9)
    numpy.testing.assert_array_equal(textcat.predict([read_all(nlp, TEXTS[0])]), before)
    dropped = get_gradients(nlp)
    other = fresh("bert")
    add_textcat(other)
    other.update(labelled(other), sgd=False)
    assert_moved(dropped, get_gradients(other), 1e-2)


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
@pytest.mark.parametrize("architecture", [CLASS, TANH, POOLER, MEAN])
def test_overfits_32_examples(fresh, architecture, exclusive):
    nlp = fresh("bert")
    random = numpy.random.default_rng(0)
    words = ["boat", "pie", "tide", "cream", "harbour", "news", "laws", "cool", "serve", "gulls"]
    texts = [" ".join(random.choice(words, 6)) + f" {i}." for i in range(32)]
    given = [cats(exclusive)[k] for k in random.integers(0, len(TEXTS), 32)]
    textcat = add_textcat(nlp, architecture, exclusive, initialize=False)
    examples = labelled(nlp, texts, given)
    textcat.initialize(lambda: examples, nlp=nlp)
    # At a rate of 0.01, single examples still change their class when the loss is nearly 0.
    optimizer = make_adam(0.005, L2=0.0, eps=1e-8)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    scores = nlp.evaluate(examples)
    assert scores["cats_macro_f"] == 1.0
    assert scores["cats_score"] == 1.0


# Labels


def test_labels_come_from_the_data_the_config_or_add_label(fresh):
    nlp = fresh("bert")
    from_data = add_textcat(nlp, name="a", initialize=False)
    from_data.initialize(lambda: labelled(nlp), nlp=nlp)
    given = add_textcat(nlp, name="b", initialize=False)
    given.initialize(lambda: labelled(nlp), nlp=nlp, labels=[*LABELS, "RARE"])
    added = add_textcat(nlp, name="c", initialize=False)
    for label in ["RARE", *LABELS]:
        assert added.add_label(label) == 1
    assert added.add_label("RARE") == 0
    added.initialize(lambda: labelled(nlp), nlp=nlp)
    assert from_data.labels == tuple(LABELS)
    assert given.labels == (*LABELS, "RARE")
    assert added.labels == ("RARE", *LABELS)
    for textcat in (from_data, given, added):
        assert textcat.model.get_dim("nO") == len(textcat.labels)
        assert textcat.label_data == textcat.labels
    nlp.update(labelled(nlp), sgd=make_adam())
    assert set(nlp("A").cats) == {*LABELS, "RARE"}


def test_initialize_of_the_whole_pipeline_keeps_the_pretrained_weights(fresh):
    nlp = fresh("bert")
    add_textcat(nlp, initialize=False)
    before = get_weights(nlp)
    nlp.initialize(lambda: labelled(nlp))
    assert_same(get_weights(nlp), before)
    assert set(nlp("A").cats) == set(LABELS)


def test_unknown_positive_label_is_rejected_with_exclusive_classes(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp)
    before = head_weights(textcat)
    given = [{"MARITIME": 1.0}, {"NEW": 1.0}]
    with pytest.raises(ValueError, match=r"TB026.*'?NEW'?.*MARITIME"):
        nlp.update(labelled(nlp, given=given), sgd=make_adam())
    assert_same(head_weights(textcat), before)


def test_unknown_label_is_ignored_without_exclusive_classes(fresh):
    nlp, other = fresh("bert"), fresh("bert")
    gradients = []
    for pipeline, unknown in ((nlp, {"NEW": 1.0}), (other, {})):
        textcat = add_textcat(pipeline, exclusive=False)
        given = [{**doc_cats, **unknown} for doc_cats in MULTI]
        pipeline.update(labelled(pipeline, given=given), sgd=False)
        gradients.append(head_gradients(textcat))
    assert_near(*gradients)


def test_unknown_negative_label_is_ignored(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp)
    with_unknown = [{**given, "NEW": 0.0} for given in EXCLUSIVE]
    nlp.update(labelled(nlp, given=with_unknown), sgd=False)
    other = fresh("bert")
    same = add_textcat(other)
    other.update(labelled(other), sgd=False)
    assert_near(head_gradients(textcat), head_gradients(same))


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
def test_gradients_with_missing_labels_equal_torch(fresh, checkpoint, exclusive):
    """Exclusive: missing labels are negative if another one is positive; examples without a
    positive label are ignored. Multilabel: the values of missing labels are unknown."""
    nlp = fresh("bert")
    textcat = add_textcat(nlp, exclusive=exclusive)
    given = [
        {"MARITIME": 1.0},
        {},
        {"BAKING": 0.0, "OTHER": 0.0},
        {"OTHER": 1.0, "BAKING": 0.0},
        {"BAKING": 0.0},
    ]
    plain = PlainTextcat(PlainTransformer("bert", checkpoint("bert")), textcat, CLASS)
    plain.backward([read(nlp, text) for text in TEXTS], given)
    nlp.update(labelled(nlp, given=given), sgd=False)
    assert_near(head_gradients(textcat), plain.head_gradients())
    assert_near(get_gradients(nlp), plain.plain.gradients())


@pytest.mark.filterwarnings("ignore:.*TB102")
def test_batch_without_any_label_changes_nothing(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp)
    before = get_weights(nlp), head_weights(textcat)
    nlp.update(labelled(nlp, given=[{}]), sgd=make_sgd())
    assert_same(get_weights(nlp), before[0])
    assert_near(head_weights(textcat), before[1], atol=1e-7)


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
def test_initialize_without_labels_is_rejected(fresh, exclusive):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, exclusive=exclusive, initialize=False)
    with pytest.raises(ValueError, match=r"TB064.*0 labels.*exclusive_classes = false|E143"):
        textcat.initialize(lambda: labelled(nlp, given=[{}]), nlp=nlp)


@pytest.mark.parametrize(
    ("exclusive", "given", "code"),
    [
        (True, {"MARITIME": 1.0, "BAKING": 1.0}, "TB064.*MARITIME.*exclusive_classes = false"),
        (True, {"MARITIME": 0.5, "BAKING": 0.5}, "E851"),
        (True, {"MARITIME": float("nan")}, "E851"),
        (False, {"MARITIME": 0.5}, "E851"),
        (False, {"MARITIME": float("nan")}, "E851"),
    ],
)
def test_invalid_category_values_are_rejected(fresh, exclusive, given, code):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, exclusive=exclusive)
    before = get_weights(nlp), head_weights(textcat)
    with pytest.raises(ValueError, match=code):
        nlp.update(labelled(nlp, given=[given]), sgd=make_adam())
    assert_same(head_weights(textcat), before[1])


def test_label_added_after_initialize_is_rejected(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp)
    with pytest.raises(ValueError, match=r"^\[TB063\] .*4 labels.*weights for 3"):
        textcat.add_label("NEW")
    nlp.update(labelled(nlp), sgd=make_adam())
    assert set(nlp("A").cats) == set(LABELS)


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
def test_update_without_initialize_is_rejected(fresh, exclusive):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, exclusive=exclusive, initialize=False)
    for label in LABELS:
        textcat.add_label(label)
    with pytest.raises(ValueError, match=r"^\[TB063\] .*3 labels.*weights for 0.*initialize"):
        nlp.update(labelled(nlp), sgd=make_adam())


@pytest.mark.parametrize("given", [[{"A": 1.0}], [{"A": 1.0, "B": 1.0}]])
def test_exclusive_classes_need_two_labels_and_one_right_one(fresh, given):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, initialize=False)
    with pytest.raises(ValueError, match=r"^\[TB064\] 'trf_textcat'.*exclusive_classes = false"):
        textcat.initialize(lambda: labelled(nlp, given=given), nlp=nlp)


def test_each_component_has_its_own_labels(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, initialize=False)
    textcat.initialize(lambda: labelled(nlp), nlp=nlp)
    other = add_textcat(nlp, name="other", initialize=False)
    other.initialize(lambda: labelled(nlp, given=[{"X": 1.0, "Y": 0.0}]), nlp=nlp)
    assert textcat.labels == tuple(LABELS)
    assert other.labels == ("X", "Y")


def test_positive_label_and_threshold_reach_the_scorer(fresh):
    nlp = fresh("bert")
    two = [{"YES": 1.0, "NO": 0.0}, {"YES": 0.0, "NO": 1.0}]
    textcat = nlp.add_pipe("trf_textcat", config={"threshold": 0.0})
    textcat.initialize(lambda: labelled(nlp, given=two), nlp=nlp, positive_label="YES")
    scores = nlp.evaluate(labelled(nlp, given=two))
    assert scores["cats_score_desc"] == "F (YES)"
    assert textcat.cfg["threshold"] == 0.0


# Degenerate batches


def test_empty_list_of_examples_changes_nothing(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp)
    before = get_weights(nlp), head_weights(textcat)
    assert nlp.update([], sgd=make_adam()) == {}
    textcat.update([], sgd=None, losses={})
    assert textcat.predict([]).shape == (0, len(LABELS))
    assert_same(get_weights(nlp), before[0])
    assert_same(head_weights(textcat), before[1])


@pytest.mark.parametrize("architecture", [CLASS, TANH, POOLER, MEAN])
def test_batch_of_docs_without_tokens_changes_nothing(fresh, architecture):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, architecture)
    before = get_weights(nlp), head_weights(textcat)
    docs = list(nlp.pipe(["", ""]))
    assert all(set(doc.cats) == set(LABELS) for doc in docs)
    nlp.update(labelled(nlp, ["", ""]), sgd=make_sgd())
    assert_same(get_weights(nlp), before[0])
    assert_same(head_weights(textcat), before[1])


def test_scores_do_not_depend_on_the_batch(fresh):
    nlp = fresh("xlnet")
    add_textcat(nlp)
    for text, doc in zip(TEXTS, nlp.pipe(TEXTS, batch_size=5), strict=True):
        alone = nlp(text)
        if text:
            assert doc.cats == pytest.approx(alone.cats, abs=1e-5)


def test_each_window_has_a_class_vector(fresh):
    nlp = fresh("bert", overflow="window", stride=8)
    textcat = add_textcat(nlp)
    text = "The blue boat from Berlin left the harbour " * 12
    doc = nlp(text)
    assert len(doc._.trf_segments) > 1
    assert sum(doc.cats.values()) == pytest.approx(1.0, abs=1e-5)
    before = get_weights(nlp)
    nlp.update(labelled(nlp, [text]), sgd=make_adam())
    assert_moved(get_weights(nlp), before)
    assert numpy.isfinite(list(nlp(text).cats.values())).all()
    assert textcat.labels


# Errors


UNSUPPORTED = [
    ("gpt2", POOLER, "pooler output"),
    ("xlnet", POOLER, "pooler output"),
    ("t5", POOLER, "pooler output"),
    ("gpt2", CLASS, "class token"),
    ("gpt2", TANH, "class token"),
    ("t5", CLASS, "class token"),
]


@pytest.mark.parametrize(("name", "architecture", "missing"), UNSUPPORTED)
def test_missing_output_is_rejected_when_the_pipeline_is_built(fresh, name, architecture, missing):
    nlp = fresh(name)
    with pytest.raises(ValueError, match=rf"TB022.*{missing}.*TextCatMean"):
        add_textcat(nlp, architecture, initialize=False)
    assert "trf_textcat" not in nlp.pipe_names


@pytest.mark.parametrize(("name", "architecture", "missing"), UNSUPPORTED)
def test_missing_output_is_rejected_at_initialize(checkpoint, name, architecture, missing):
    """A pipeline built from a config loads the model at initialization."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("trf_wordpiecer", config={"trf_name": str(checkpoint(name))})
    nlp.add_pipe("trf_tok2vec", config={"model": {"trf_name": str(checkpoint(name))}})
    add_textcat(nlp, architecture, initialize=False)
    with pytest.raises(ValueError, match=rf"TB022.*{missing}"):
        nlp.initialize(lambda: labelled(nlp))


def test_missing_disabled_or_later_transformer_is_rejected(fresh):
    blank = spacy.blank("en")
    blank.add_pipe("trf_textcat")
    with pytest.raises(ValueError, match=r"TB020.*trf_textcat"):
        blank.initialize(lambda: labelled(blank))
    nlp = fresh("bert")
    textcat = nlp.add_pipe("trf_textcat", before="trf_tok2vec")
    with pytest.raises(ValueError, match=r"TB020.*trf_textcat"):
        textcat.initialize(lambda: labelled(nlp), nlp=nlp)
    nlp.remove_pipe("trf_textcat")
    add_textcat(nlp)
    for disabled in (["trf_tok2vec"], ["trf_wordpiecer", "trf_tok2vec"]):
        with nlp.select_pipes(disable=disabled):
            with pytest.raises(ValueError, match=r"TB021.*trf_textcat"):
                nlp("A boat.")
            with pytest.raises(ValueError, match=r"TB021.*trf_textcat"):
                nlp.update(labelled(nlp), sgd=make_adam())
    nlp.remove_pipe("trf_tok2vec")
    with pytest.raises(ValueError, match=r"TB021.*trf_textcat"):
        nlp("A boat.")


def test_initialize_leaves_no_zero_rows_on_its_docs(fresh):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, initialize=False)
    examples = labelled(nlp)
    textcat.initialize(lambda: examples, nlp=nlp)
    doc = examples[0].reference
    with (
        nlp.select_pipes(disable=["trf_tok2vec"]),
        pytest.raises(ValueError, match="TB021"),
    ):
        nlp(doc)
    expected = nlp(doc.text).cats
    assert nlp(doc).cats == pytest.approx(expected, abs=1e-6)


# Saving


@pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "multilabel"])
@pytest.mark.parametrize("architecture", [CLASS, TANH, POOLER, MEAN])
def test_saved_pipeline_predicts_the_same(fresh, tmp_path, architecture, exclusive):
    nlp = fresh("bert")
    textcat = add_textcat(nlp, architecture, exclusive)
    nlp.update(labelled(nlp, given=cats(exclusive)), sgd=make_adam())
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    from_bytes = fresh("bert")
    add_textcat(from_bytes, architecture, exclusive, initialize=False)
    from_bytes.from_bytes(nlp.to_bytes())
    for pipeline in (loaded, from_bytes):
        assert pipeline.get_pipe("trf_textcat").labels == textcat.labels
        for text in TEXTS:
            assert pipeline(text).cats == pytest.approx(nlp(text).cats, abs=1e-6)
        pipeline.update(labelled(pipeline, given=cats(exclusive)), sgd=make_adam())


def test_default_is_the_class_vector_with_exclusive_classes(fresh):
    nlp = fresh("bert")
    nlp.add_pipe("trf_textcat")
    config = nlp.get_pipe_config("trf_textcat")["model"]
    assert config["@architectures"] == CLASS
    assert config["exclusive_classes"] is True


def test_update_and_evaluate_do_not_change_the_docs_of_examples(fresh):
    nlp = fresh("bert")
    add_textcat(nlp)
    examples = labelled(nlp)
    before = [example.reference.to_bytes() for example in examples]
    predicted = [example.predicted.to_bytes() for example in examples]
    nlp.update(examples, sgd=make_adam())
    nlp.evaluate(examples)
    assert [example.reference.to_bytes() for example in examples] == before
    assert [example.predicted.to_bytes() for example in examples] == predicted


def test_rehearse_without_the_transformers_rows_is_rejected(fresh):
    nlp = fresh("bert")
    add_textcat(nlp)
    nlp.resume_training()
    examples = [Example(nlp.make_doc("A boat."), nlp.make_doc("A boat."))]
    with pytest.raises(ValueError, match="TB021"):
        nlp.rehearse(examples, sgd=make_adam())
