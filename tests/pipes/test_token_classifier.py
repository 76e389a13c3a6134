"""Token classification: labels, scores and gradients equal plain transformers; training; errors."""

from __future__ import annotations

import numpy
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example, offsets_to_biluo_tags
from torch_oracle import (
    assert_near,
    assert_same,
    get_gradients,
    get_weights,
    head_gradients,
    head_weights,
    make_adam,
    make_sgd,
)
from trained import IOB2, TEXTS, TOKENS, TOPICS, load_pipeline, plain_tokens, save_trained

import trf_bridge

pytestmark = pytest.mark.usefixtures("fixed_seed")

SENTENCES = [
    "My name is Robert and the boat from Berlin left the harbour",
    "Apple pie is delicious",
    "The well-known state-of-the-art model doesn't understand everything!",
    "A",
    "Anna  saw\n\n Berlin.",
]
FAMILIES = [
    *["bert", "roberta", "distilbert", "electra", "xlm_roberta", "camembert", "mpnet"],
    *["albert", "deberta_v2"],
]


@pytest.fixture
def trained(checkpoint, tmp_path):
    """Return a function: family, labels -> folder of a checkpoint with a head for tokens."""

    def save(name="bert", labels=IOB2):
        return save_trained(checkpoint(name), tmp_path / f"model_{name}", TOKENS, labels)

    return save


def ner_examples(nlp, texts=SENTENCES, kind="LOC"):
    """Make examples in which every word in upper case is an entity."""
    examples = []
    for text in texts:
        doc = nlp.make_doc(text)
        doc.set_ents([Span(doc, t.i, t.i + 1, label=kind) for t in doc if t.text[0].isupper()])
        examples.append(Example(nlp.make_doc(text), doc))
    return examples


# Comparison with plain transformers


@pytest.mark.parametrize("aggregation", ["first", "max", "mean"])
@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_equal_the_words_of_transformers(trained, name, aggregation):
    folder = trained(name)
    settings = {"aggregation": aggregation, "annotate": "tags"}
    nlp = trf_bridge.from_pretrained(folder, sentences="doc", head=settings)
    plain = load_pipeline(folder, TOKENS)
    seen = set()
    for doc in nlp.pipe(SENTENCES):
        expected = plain_tokens(plain, doc, aggregation)
        assert [token.tag_ for token in doc] == [x[0] if x else "" for x in expected]
        scores = [x[1] if x else 0.0 for x in expected]
        numpy.testing.assert_allclose(doc._.trf_ent_scores, scores, atol=1e-5)
        seen.update(token.tag_ for token in doc)
    assert len(seen) > 2  # else equal labels mean nothing


@pytest.mark.parametrize("aggregation", ["first", "max", "mean"])
@pytest.mark.parametrize("labels", [IOB2, ["O", "PER", "LOC"], ["O", "I-PER", "I-LOC"]])
def test_entities_equal_the_groups_of_transformers(trained, labels, aggregation):
    """On texts that are split into the same words by both."""
    folder = trained(labels=labels)
    nlp = trf_bridge.from_pretrained(folder, head={"aggregation": aggregation})
    strategy = {"mean": "average"}.get(aggregation, aggregation)
    plain = load_pipeline(folder, TOKENS, aggregation_strategy=strategy)
    n_entities = 0
    for text in ("The boat from Berlin left the harbour", "Apple pie is delicious"):
        doc = nlp(text)
        expected = plain(text)
        assert [(e.start_char, e.end_char, e.label_) for e in doc.ents] == [
            (group["start"], group["end"], group["entity_group"]) for group in expected
        ]
        numpy.testing.assert_allclose(
            doc._.trf_ent_scores, [group["score"] for group in expected], atol=1e-5
        )
        n_entities += len(expected)
    assert n_entities


@pytest.mark.parametrize("aggregation", ["first", "max", "mean"])
def test_gradients_equal_torch(trained, aggregation):
    folder = trained()
    nlp = trf_bridge.from_pretrained(folder, sentences="doc", head={"aggregation": aggregation})
    examples = ner_examples(nlp)
    plain = load_pipeline(folder, TOKENS)
    total = sum(_plain_loss(plain, example, aggregation) for example in examples)
    total.backward()
    losses = nlp.update(examples, sgd=False)
    assert losses["trf_token_classifier"] == pytest.approx(total.item(), rel=1e-5)
    gradients = {name: w.grad.numpy() for name, w in plain.model.named_parameters()}
    head = head_gradients(nlp.get_pipe("trf_token_classifier"))
    expected = {"W0": gradients["classifier.weight"], "b0": gradients["classifier.bias"]}
    assert_near(head, expected)
    own = {k.removeprefix("bert."): g for k, g in gradients.items() if k.startswith("bert.")}
    assert_near(get_gradients(nlp), own)
    assert abs(own["encoder.layer.0.output.dense.weight"]).max() > 0.01


def _plain_loss(plain, example, aggregation):
    """Compute the cross-entropy over the tokens of an example with torch."""
    import torch

    encoded = plain.tokenizer(example.text, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    logits = plain.model(input_ids=torch.tensor([encoded["input_ids"]])).logits[0]
    probabilities = logits.softmax(dim=-1)
    ents = [(e.start_char, e.end_char, e.label_) for e in example.reference.ents]
    tags = offsets_to_biluo_tags(example.reference, ents)
    total = torch.zeros(())
    for token, tag in zip(example.reference, tags, strict=True):
        first, last = token.idx, token.idx + len(token)
        own = [i for i, (start, end) in enumerate(offsets) if start < last and end > first]
        if not own:
            continue
        rows = probabilities[own]
        row = rows.mean(dim=0) if aggregation == "mean" else rows[0]
        if aggregation == "max":
            row = rows[rows.max(dim=1).values.argmax()]
        total = total - row[IOB2.index("O" if tag == "O" else f"B-{tag[2:]}")].log()
    return total


# What is written


def test_ents_tags_and_spans(trained):
    folder = trained()
    ents = trf_bridge.from_pretrained(folder)
    spans = trf_bridge.from_pretrained(folder, head={"annotate": "spans", "spans_key": "found"})
    for text in SENTENCES:
        doc, other = ents(text), spans(text)
        group = other.spans["found"]
        assert [(s.start, s.end, s.label_) for s in group] == [
            (e.start, e.end, e.label_) for e in doc.ents
        ]
        assert not other.ents
        assert doc._.trf_ent_scores == other._.trf_ent_scores
        numpy.testing.assert_allclose(group.attrs["scores"], doc._.trf_ent_scores)
        assert len(doc._.trf_ent_scores) == len(doc.ents)
        assert doc.has_annotation("ENT_IOB")


def test_labels_without_an_outside_label_are_tags(trained):
    nlp = trf_bridge.from_pretrained(trained(labels=["NOUN", "VERB", "DET"]))
    doc = nlp(SENTENCES[0])
    assert {token.tag_ for token in doc} <= {"NOUN", "VERB", "DET"}
    assert all(token.tag_ for token in doc)


def test_entities_end_with_their_sentence(trained):
    folder = trained(labels=["O", "I-PER"])
    nlp = trf_bridge.from_pretrained(folder)
    classifier = nlp.get_pipe("trf_token_classifier")
    b = classifier.model.get_ref("output_layer").get_param("b")
    b[:] = [-100.0, 100.0]
    doc = nlp("Anna saw Berlin. It rained.")
    assert [(e.start, e.end) for e in doc.ents] == [(s.start, s.end) for s in doc.sents]
    long = trf_bridge.from_pretrained(folder, overflow="window", stride=4)
    long.get_pipe("trf_token_classifier").model.get_ref("output_layer").set_param("b", b)
    doc = long("The blue boat from Berlin left the harbour " * 8)
    assert len(doc._.trf_segments) > 1
    assert len(doc.ents) == 1  # windows are one text


def test_docs_without_wordpieces(trained):
    nlp = trf_bridge.from_pretrained(trained())
    for doc in nlp.pipe(["", " ", "\n", "Anna saw Berlin."]):
        assert len(doc._.trf_ent_scores) == len(doc.ents)
    nlp.update(ner_examples(nlp, ["", "Anna."]), sgd=make_adam())
    assert list(nlp.get_pipe("trf_token_classifier").pipe([])) == []


def test_one_run_serves_all_heads(trained, monkeypatch):
    nlp = trf_bridge.from_pretrained(trained())
    other = nlp.add_pipe("trf_textcat")
    other.initialize(
        lambda: [Example.from_dict(nlp.make_doc("A"), {"cats": {"A": 1.0, "B": 0.0}})], nlp=nlp
    )
    engine = nlp.get_pipe("trf_tok2vec").engine
    runs = []
    predict = engine.predict
    monkeypatch.setattr(engine, "predict", lambda *args: runs.append(1) or predict(*args))
    doc = nlp(SENTENCES[0])
    assert len(runs) == 1
    assert doc.has_annotation("ENT_IOB")
    assert doc.cats


# Training


@pytest.mark.parametrize("annotate", ["ents", "tags", "spans"])
@pytest.mark.parametrize("aggregation", ["first", "mean"])
def test_a_new_head_learns(fresh, annotate, aggregation):
    nlp = fresh("bert")
    config = {"annotate": annotate, "aggregation": aggregation}
    classifier = nlp.add_pipe("trf_token_classifier", config=config)
    examples = ner_examples(nlp)
    for example in examples:
        doc = example.reference
        for token in doc:
            if not token.is_space:  # which has no wordpieces
                token.tag_ = "UPPER" if token.text[0].isupper() else "LOWER"
        doc.spans["sc"] = list(doc.ents)
    nlp.initialize(lambda: examples)
    labels = {"LOWER", "UPPER"} if annotate == "tags" else {"O", "B-LOC", "I-LOC"}
    assert set(classifier.labels) == labels
    optimizer = make_adam(0.01, L2=0.0, eps=1e-8)
    losses = [nlp.update(examples, sgd=optimizer)["trf_token_classifier"] for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    scores = nlp.evaluate(examples)
    assert scores["token_classifier_score"] == 1.0
    name = {"ents": "ents_f", "tags": "tag_acc", "spans": "spans_sc_f"}[annotate]
    assert scores[name] == 1.0


def test_a_trained_head_learns_on(trained):
    nlp = trf_bridge.from_pretrained(trained())
    examples = ner_examples(nlp)
    optimizer = make_adam(0.01, L2=0.0, eps=1e-8)
    before = nlp.evaluate(examples)["ents_f"]
    losses = [nlp.update(examples, sgd=optimizer)["trf_token_classifier"] for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    assert nlp.evaluate(examples)["ents_f"] == 1.0 > before


@pytest.mark.filterwarnings("ignore:.*TB102")
@pytest.mark.parametrize("annotate", ["ents", "tags", "spans"])
def test_missing_annotation_gives_no_gradient(trained, annotate):
    nlp = trf_bridge.from_pretrained(trained(), head={"annotate": annotate})
    before = get_weights(nlp), head_weights(nlp.get_pipe("trf_token_classifier"))
    examples = [Example(nlp.make_doc(text), nlp.make_doc(text)) for text in SENTENCES]
    losses = nlp.update(examples, sgd=make_sgd())
    assert losses["trf_token_classifier"] == 0.0
    assert_same(get_weights(nlp), before[0])
    assert_near(head_weights(nlp.get_pipe("trf_token_classifier")), before[1], atol=1e-7)


def test_annotation_of_other_tokens_is_aligned(trained):
    nlp = trf_bridge.from_pretrained(trained())
    words, spaces = ["Anna", "saw", "New", "-", "York"], [1, 1, 0, 0, 0]
    apart = Doc(nlp.vocab, words, spaces)
    apart.set_ents([Span(apart, 2, 5, label="LOC")])
    joined = Doc(nlp.vocab, ["Anna", "saw", "New-York"], [1, 1, 0])
    joined.set_ents([Span(joined, 2, 3, label="LOC")])
    losses = []
    for reference in (apart, joined):
        predicted = Doc(nlp.vocab, ["Anna", "saw", "New-York"], [1, 1, 0])
        losses.append(nlp.update([Example(predicted, reference)], sgd=False))
    one, two = (loss["trf_token_classifier"] for loss in losses)
    assert one == pytest.approx(two, rel=1e-6)
    assert one > 0


def test_initialize_preserves_the_weights_of_the_checkpoint(trained, fresh):
    nlp = trf_bridge.from_pretrained(trained())
    classifier = nlp.get_pipe("trf_token_classifier")
    before = head_weights(classifier)
    nlp.initialize(lambda: ner_examples(nlp))
    assert_same(head_weights(classifier), before)
    nlp.initialize()
    assert_same(head_weights(classifier), before)
    # A new head is drawn again, as in spaCy.
    other = fresh("bert")
    drawn = []
    new = other.add_pipe("trf_token_classifier")
    for _ in range(2):
        new.initialize(lambda: ner_examples(other), nlp=other)
        drawn.append(head_weights(new))
    assert abs(drawn[0]["W0"] - drawn[1]["W0"]).max() > 0.01


# Labels


def test_labels_come_from_the_data_the_argument_or_add_label(fresh):
    nlp = fresh("bert")
    examples = ner_examples(nlp)
    heads = [nlp.add_pipe("trf_token_classifier", name=name) for name in "abc"]
    heads[0].initialize(lambda: examples, nlp=nlp)
    heads[1].initialize(lambda: examples, nlp=nlp, labels=IOB2)
    for label in ("O", "B-LOC", "I-LOC"):
        assert heads[2].add_label(label) == 1
    assert heads[2].add_label("O") == 0
    heads[2].initialize(lambda: examples, nlp=nlp)
    assert heads[0].labels == heads[2].labels == ("O", "B-LOC", "I-LOC")
    assert heads[1].label_data == IOB2
    assert [head.model.get_dim("nO") for head in heads] == [3, 5, 3]


@pytest.mark.parametrize("scheme", ["iob1", "bilou", "bioes", "none"])
def test_scheme_of_a_new_head_can_be_chosen(fresh, scheme):
    nlp = fresh("bert")
    classifier = nlp.add_pipe("trf_token_classifier", config={"scheme": scheme})
    nlp.initialize(lambda: ner_examples(nlp))
    n_labels = {"iob1": 3, "bilou": 5, "bioes": 5, "none": 2}[scheme]
    assert len(classifier.labels) == n_labels
    nlp.update(ner_examples(nlp), sgd=make_adam())


def test_labels_that_are_not_those_of_entities_are_an_error(trained, fresh):
    labels = ["O", "B-PER", "LOC"]
    folder = trained(labels=labels)
    with pytest.raises(ValueError, match=r"^\[TB061\] .*trf_token_classifier.*B-PER, LOC"):
        trf_bridge.from_pretrained(folder)
    tags = trf_bridge.from_pretrained(folder, head={"annotate": "tags"})
    assert {token.tag_ for token in tags(SENTENCES[0])} <= set(labels)
    nlp = fresh("bert")
    classifier = nlp.add_pipe("trf_token_classifier")
    with pytest.raises(ValueError, match=r"^\[TB061\]"):
        classifier.initialize(lambda: ner_examples(nlp), nlp=nlp, labels=labels)


def test_unknown_labels_in_the_data_are_an_error(trained):
    nlp = trf_bridge.from_pretrained(trained())
    with pytest.raises(ValueError, match=r"^\[TB026\] .*ORG.*LOC, O, PER"):
        nlp.update(ner_examples(nlp, kind="ORG"), sgd=make_adam())
    tags = trf_bridge.from_pretrained(trained("electra", ["X", "Y"]))
    doc = nlp.make_doc("A")
    doc[0].tag_ = "Z"
    with pytest.raises(ValueError, match=r"^\[TB026\] .*Z.*X, Y"):
        tags.update([Example(nlp.make_doc("A"), doc)], sgd=make_adam())


@pytest.mark.filterwarnings("ignore:.*TB102")
def test_labels_and_weights_must_fit(trained, fresh):
    nlp = fresh("bert")
    new = nlp.add_pipe("trf_token_classifier")
    new.add_label("O")
    for run in (lambda: nlp.update(ner_examples(nlp), sgd=make_adam()), lambda: nlp("A boat.")):
        with pytest.raises(ValueError, match=r"^\[TB063\] .*1 labels.*weights for 0.*initialize"):
            run()
    with pytest.raises(ValueError, match="E143"):
        fresh("bert").add_pipe("trf_token_classifier").initialize(lambda: [_plain(nlp)], nlp=nlp)
    classifier = trf_bridge.from_pretrained(trained()).get_pipe("trf_token_classifier")
    with pytest.raises(ValueError, match=r"^\[TB063\] .*6 labels.*weights for 5"):
        classifier.add_label("B-ORG")
    with pytest.raises(ValueError, match="E187"):
        classifier.add_label(3)


def _plain(nlp):
    return Example(nlp.make_doc("A"), nlp.make_doc("A"))


@pytest.mark.parametrize("field", ["aggregation", "annotate", "scheme"])
def test_unknown_settings_are_an_error(fresh, field):
    with pytest.raises(ValueError, match=rf"\[TB008\] .*{field}"):
        fresh("bert").add_pipe("trf_token_classifier", config={field: "none of them"})


def test_missing_transformer_is_an_error(trained):
    nlp = trf_bridge.from_pretrained(trained())
    with (
        nlp.select_pipes(disable=["trf_tok2vec"]),
        pytest.raises(ValueError, match=r"TB021.*trf_token_classifier"),
    ):
        nlp("A boat.")
    blank = spacy.blank("en")
    blank.add_pipe("trf_token_classifier")
    with pytest.raises(ValueError, match=r"TB020.*trf_token_classifier"):
        blank.initialize(lambda: ner_examples(blank))


# Saving


def test_saved_pipeline_predicts_and_learns_the_same(trained, tmp_path):
    nlp = trf_bridge.from_pretrained(trained(), head={"aggregation": "mean"})
    nlp.update(ner_examples(nlp), sgd=make_adam())
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    from_bytes = spacy.blank("en").from_config(nlp.config)
    from_bytes.from_bytes(nlp.to_bytes())
    for other in (loaded, from_bytes):
        classifier = other.get_pipe("trf_token_classifier")
        assert classifier.labels == tuple(IOB2)
        assert classifier.aggregation == "mean"
        for text in SENTENCES:
            one, two = nlp(text), other(text)
            assert [(e.start, e.end, e.label_) for e in one.ents] == [
                (e.start, e.end, e.label_) for e in two.ents
            ]
            numpy.testing.assert_allclose(one._.trf_ent_scores, two._.trf_ent_scores, atol=1e-6)
        before = head_weights(classifier)
        other.initialize(lambda pipeline=other: ner_examples(pipeline))
        assert_same(head_weights(classifier), before)
        other.update(ner_examples(other), sgd=make_adam())


@pytest.mark.filterwarnings("ignore:.*W109")
def test_scores_are_stored_with_the_doc(trained):
    nlp = trf_bridge.from_pretrained(trained())
    doc = nlp(SENTENCES[0])
    other = Doc(nlp.vocab).from_bytes(doc.to_bytes(exclude=["tensor"]))
    assert other._.trf_ent_scores == doc._.trf_ent_scores


def test_both_kinds_of_heads_in_one_pipeline(trained, checkpoint, tmp_path):
    """A component that was trained elsewhere on the same transformer can be sourced."""
    nlp = trf_bridge.from_pretrained(trained("roberta"))
    folder = save_trained(checkpoint("roberta"), tmp_path / "topics", TEXTS, TOPICS)
    other = trf_bridge.from_pretrained(folder, sentences="sents")
    nlp.add_pipe("trf_textcat", source=other)
    doc = nlp(SENTENCES[0])
    assert doc.cats == pytest.approx(other(SENTENCES[0]).cats, abs=1e-6)
    assert doc._.trf_ent_scores is not None
