"""Text classification with heads that are already trained: equal to plain transformers."""

from __future__ import annotations

import numpy
import pytest
import spacy
from spacy.training import Example
from torch_oracle import (
    assert_near,
    assert_same,
    get_gradients,
    head_gradients,
    head_weights,
    make_adam,
    make_examples,
)
from trained import IOB2, TEXTS, TOKENS, TOPICS, load_pipeline, save_trained

import trf_bridge

pytestmark = pytest.mark.usefixtures("fixed_seed")

DOCS = [
    "The tide had gone out. Anna Berger counted the boats! Is it?",
    "Bake it at 180 degrees for fifty minutes.",
    "Yes... no. Perhaps.",
    "A",
]
PAIRS = [("The tide had gone out.", "Is it? Perhaps."), ("Bake it.", "Apple pie is delicious.")]
FAMILIES = [
    *["bert", "roberta", "distilbert", "electra", "xlm_roberta", "camembert", "mpnet"],
    *["albert", "deberta_v2"],
]
PROBLEMS = {
    "single_label_classification": (TOPICS, "softmax"),
    "multi_label_classification": (TOPICS, "sigmoid"),
    "regression": (["SIMILARITY"], "none"),
}


@pytest.fixture
def trained(checkpoint, tmp_path):
    """Return a function: family, labels -> folder of a checkpoint with a head for texts."""

    def save(name="bert", problem="single_label_classification"):
        base, folder = checkpoint(name), tmp_path / f"{name}_{problem}"
        return save_trained(base, folder, TEXTS, PROBLEMS[problem][0], problem_type=problem)

    return save


def plain_scores(plain, *texts, function):
    """Return the scores of one text or one pair by plain transformers."""
    import torch

    encoded = plain.tokenizer(*texts, return_tensors="pt", truncation=True)
    with torch.inference_mode():
        logits = plain.model(**encoded).logits[0]
    applied = {"softmax": logits.softmax(-1), "sigmoid": logits.sigmoid(), "none": logits}
    return dict(zip(plain.model.config.id2label.values(), applied[function].tolist(), strict=True))


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", FAMILIES)
def test_whole_texts_equal_transformers(trained, name, problem):
    folder = trained(name, problem)
    nlp = trf_bridge.from_pretrained(folder)
    assert nlp.get_pipe("trf_wordpiecer").sentences == "doc"
    plain = load_pipeline(folder, TEXTS)
    function = PROBLEMS[problem][1]
    found = []
    for doc in nlp.pipe(DOCS):
        expected = plain_scores(plain, doc.text, function=function)
        assert doc.cats == pytest.approx(expected, abs=1e-5)
        found.append(list(doc.cats.values()))
    # The scores of different texts differ; else equal scores mean nothing.
    values = numpy.asarray(found) if function == "none" else numpy.log(found)
    assert numpy.ptp(values, axis=0).max() > 0.01
    # The pipeline of transformers, which finds the function in the config.
    scores = {item["label"]: item["score"] for item in plain(DOCS[0], top_k=None)}
    assert nlp(DOCS[0]).cats == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm_roberta"])
def test_pairs_equal_transformers(trained, name):
    folder = trained(name)
    nlp = trf_bridge.from_pretrained(folder, separator="|||")
    plain = load_pipeline(folder, TEXTS)
    for premise, hypothesis in PAIRS:
        expected = plain_scores(plain, premise, hypothesis, function="softmax")
        assert nlp(f"{premise} ||| {hypothesis}").cats == pytest.approx(expected, abs=1e-5)


def test_sentences_can_be_read_one_by_one(trained):
    nlp = trf_bridge.from_pretrained(trained(), sentences="sents")
    assert nlp.get_pipe("trf_wordpiecer").sentences == "sents"
    assert len(nlp(DOCS[0])._.trf_segments) == 3


def examples_of(nlp, problem):
    given = {
        "single_label_classification": [
            {t: float(t == TOPICS[i]) for t in TOPICS} for i in (0, 1, 2)
        ],
        "multi_label_classification": [
            {t: float(j != i) for j, t in enumerate(TOPICS)} for i in (0, 1, 2)
        ],
        "regression": [{"SIMILARITY": value} for value in (-0.5, 2.5, 1.0)],
    }[problem]
    return make_examples(nlp, DOCS[:3], lambda i: {"cats": given[i]})


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra"])
def test_gradients_equal_torch(trained, name, problem):
    import torch

    folder = trained(name, problem)
    nlp = trf_bridge.from_pretrained(folder)
    plain = load_pipeline(folder, TEXTS)
    examples = examples_of(nlp, problem)
    labels = nlp.get_pipe("trf_textcat").labels
    total = torch.zeros(())
    for example in examples:
        logits = plain.model(**plain.tokenizer(example.text, return_tensors="pt")).logits[0]
        right = torch.tensor([example.reference.cats[x] for x in labels])
        if problem == "regression":
            total = total + 0.5 * ((logits - right) ** 2).sum()
        elif problem == "multi_label_classification":
            loss = torch.nn.functional.binary_cross_entropy_with_logits
            total = total + loss(logits, right, reduction="sum")
        else:
            total = total - (right * logits.log_softmax(-1)).sum()
    total.backward()
    nlp.update(examples, sgd=False)
    inner = {id(w) for w in plain.model.base_model.parameters()}
    gradients = [w.grad.numpy() for w in plain.model.parameters() if id(w) not in inner]
    names = [f"{kind}{i}" for i in range(len(gradients) // 2) for kind in "Wb"]
    assert_near(
        head_gradients(nlp.get_pipe("trf_textcat")), dict(zip(names, gradients, strict=True))
    )
    own = {
        k: w.grad.numpy()
        for k, w in plain.model.base_model.named_parameters()
        if w.grad is not None
    }
    assert_near(get_gradients(nlp), own)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_trained_head_learns_on_and_is_saved(trained, tmp_path, problem):
    nlp = trf_bridge.from_pretrained(trained("roberta", problem))
    examples = examples_of(nlp, problem)
    optimizer = make_adam(0.01, L2=0.0, eps=1e-8)
    losses = [nlp.update(examples, sgd=optimizer)["trf_textcat"] for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]
    assert nlp.evaluate(examples)["cats_score"] > 0.9
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    from_bytes = spacy.blank("en").from_config(nlp.config)
    from_bytes.from_bytes(nlp.to_bytes())
    for other in (loaded, from_bytes):
        textcat = other.get_pipe("trf_textcat")
        assert textcat.labels == tuple(PROBLEMS[problem][0])
        for text in DOCS:
            assert other(text).cats == pytest.approx(nlp(text).cats, abs=1e-6)
        before = head_weights(textcat)
        other.initialize(lambda pipeline=other: examples_of(pipeline, problem))
        assert_same(head_weights(textcat), before)
        other.update(examples_of(other, problem), sgd=optimizer)


def test_score_of_a_regression_is_r_squared(trained):
    nlp = trf_bridge.from_pretrained(trained("bert", "regression"))
    examples = examples_of(nlp, "regression")
    scores = nlp.evaluate(examples)
    right = numpy.asarray([-0.5, 2.5, 1.0])
    predicted = numpy.asarray([nlp(text).cats["SIMILARITY"] for text in DOCS[:3]])
    expected = 1 - ((right - predicted) ** 2).sum() / ((right - right.mean()) ** 2).sum()
    assert scores["cats_score"] == pytest.approx(expected, abs=1e-4)
    assert scores["cats_score_desc"] == "R²"
    assert nlp.evaluate(examples[:1])["cats_score"] is None


@pytest.mark.parametrize("activation", [None, "tanh", "relu", "gelu"])
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_a_new_head_of_the_same_form_learns(fresh, activation, output):
    nlp = fresh("bert")
    model = {
        "@architectures": "trf_bridge.TextCatPretrainedHead.v1",
        "activation": activation,
        "output": output,
        "rows": "mean",
    }
    textcat = nlp.add_pipe("trf_textcat", config={"model": model})
    examples = examples_of(nlp, "single_label_classification")
    nlp.initialize(lambda: examples)
    optimizer = make_adam(0.01, L2=0.0, eps=1e-8)
    losses = [nlp.update(examples, sgd=optimizer)["trf_textcat"] for _ in range(40)]
    assert losses[-1] < 0.2 * losses[0]
    assert textcat.labels == tuple(TOPICS)


@pytest.mark.parametrize(
    ("field", "value"), [("rows", "last"), ("output", "tanh"), ("activation", "elu")]
)
def test_unknown_settings_are_an_error(fresh, field, value):
    model = {"@architectures": "trf_bridge.TextCatPretrainedHead.v1", field: value}
    with pytest.raises(ValueError, match=r"\[TB008\]"):
        fresh("bert").add_pipe("trf_textcat", config={"model": model})


# from_pretrained


def test_head_can_be_left_out(trained, checkpoint, tmp_path):
    names = ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]
    nlp = trf_bridge.from_pretrained(trained(), head=False)
    assert nlp.pipe_names == names
    assert nlp.get_pipe("trf_wordpiecer").sentences == "sents"
    assert trf_bridge.from_pretrained(trained("roberta")).pipe_names == [*names, "trf_textcat"]
    ner = save_trained(checkpoint("bert"), tmp_path / "ner", TOKENS, IOB2)
    assert trf_bridge.from_pretrained(ner).pipe_names == [*names, "trf_token_classifier"]


def test_dropped_head_leaves_the_transformer(checkpoint, tmp_path):
    folder = save_trained(checkpoint("bert"), tmp_path / "mlm", "BertForMaskedLM", ["A", "B"])
    with pytest.warns(UserWarning, match=r"\[TB110\] .*BertForMaskedLM"):
        nlp = trf_bridge.from_pretrained(folder)
    assert nlp.pipe_names == ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]
    plain = trf_bridge.from_pretrained(checkpoint("bert"))
    numpy.testing.assert_allclose(nlp(DOCS[0]).tensor, plain(DOCS[0]).tensor, atol=1e-6)


def test_labels_that_do_not_fit_leave_nothing_behind(trained):
    import json

    folder = trained()
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "A", "1": "A", "2": "B"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"^\[TB062\] .*head=False"):
        trf_bridge.from_pretrained(folder)
    assert trf_bridge.from_pretrained(folder, head=False)(DOCS[0]).tensor.any()


def test_new_label_needs_a_new_head(trained):
    nlp = trf_bridge.from_pretrained(trained())
    textcat = nlp.get_pipe("trf_textcat")
    with pytest.raises(ValueError, match=r"^\[TB063\] .*4 labels.*weights for 3"):
        textcat.add_label("NEW")
    given = [Example.from_dict(nlp.make_doc("A"), {"cats": {"NEW": 1.0, "OTHER": 0.0}})]
    before = head_weights(textcat)
    with pytest.raises(ValueError, match=r"^\[TB063\]"):
        nlp.initialize(lambda: given)
    assert_same(head_weights(textcat), before)
