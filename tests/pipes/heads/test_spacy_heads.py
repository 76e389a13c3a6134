"""spaCy's own components as heads of the transformer: training, prediction, saving."""

from __future__ import annotations

import numpy
import pytest
import spacy
import torch
from spacy_heads import (
    ANNOTATION,
    CONFIGS,
    add_head,
    annotated_examples,
    initialize_heads,
    listeners_of,
    make_reference,
    predictions,
    randomize_heads,
)
from thinc.api import Config
from tiny import WIDTH
from torch_oracle import (
    PlainTransformer,
    assert_moved,
    assert_near,
    get_gradients,
    get_module,
    get_weights,
    make_adam,
    read,
)

from trf_bridge.wrappers.engine.encoder import EncoderEngine

pytestmark = pytest.mark.usefixtures("fixed_seed")


@pytest.mark.parametrize("component", CONFIGS)
@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_component_initializes_trains_predicts_and_saves(fresh, tmp_path, component):
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize_heads(nlp, component)
    randomize_heads(nlp, component)
    before = get_weights(nlp)
    optimizer = make_adam()
    for _ in range(3):
        nlp.update(annotated_examples(nlp), sgd=optimizer)
    assert_moved(get_weights(nlp), before, 1e-3)
    for weights in get_weights(nlp).values():
        assert numpy.isfinite(weights).all()
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "saved")
    assert predictions(spacy.load(tmp_path / "saved")) == expected
    other = fresh("bert")
    add_head(other, component)
    other.from_bytes(nlp.to_bytes())
    assert predictions(other) == expected
    other.update(annotated_examples(other), sgd=make_adam(eps=1e-8))
    assert_moved(get_weights(other), get_weights(nlp), 1e-6)


@pytest.mark.parametrize("component", [c for c in CONFIGS if c != "entity_linker"])
@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_component_overfits_its_examples(fresh, component):
    spacy.util.fix_random_seed(0)
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize_heads(nlp, component)
    optimizer = make_adam(0.01, L2=0.0, eps=1e-8)
    key = {
        "tagger": "tag_acc",
        "morphologizer": "pos_acc",
        "senter": "sents_f",
        "trainable_lemmatizer": "lemma_acc",
        "parser": "dep_uas",
        "ner": "ents_f",
        "spancat": "spans_sc_f",
        "textcat": "cats_macro_auc",
    }[component]
    for _ in range(10):  # the number of steps depends on the random weights of the head
        for _ in range(30):
            nlp.update(annotated_examples(nlp), sgd=optimizer)
        scores = nlp.evaluate(annotated_examples(nlp))
        if scores[key] == 1.0:
            break
    if component == "textcat":
        assert nlp(make_reference(nlp).text).cats["SEA"] > 0.9
    else:
        assert scores[key] == 1.0


@pytest.mark.filterwarnings("ignore:.*W0")
def test_whole_pipeline_from_a_config(checkpoint):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("trf_wordpiecer", config={"trf_name": str(checkpoint("bert"))})
    nlp.add_pipe("trf_tok2vec", config={"model": {"trf_name": str(checkpoint("bert"))}})
    for component in ("tagger", "parser", "ner"):
        add_head(nlp, component)
    config = Config().from_str(nlp.config.to_str())
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    optimizer = nlp.initialize(lambda: annotated_examples(nlp))
    for component in ("tagger", "parser", "ner"):
        (listener,) = listeners_of(nlp, component)
        assert listener.get_dim("nO") == WIDTH
    before = get_weights(nlp)
    for _ in range(2):
        nlp.update(annotated_examples(nlp), sgd=optimizer)
    assert_moved(get_weights(nlp), before)


def test_tagger_equals_torch(fresh, checkpoint):
    """Compare the softmax of each token, and its gradient up to the scale that spaCy sets."""
    nlp = fresh("bert")
    tagger = add_head(nlp, "tagger")
    initialize_heads(nlp, "tagger")
    randomize_heads(nlp, "tagger")
    output = tagger.model.get_ref("softmax")
    W, b = (torch.tensor(output.get_param(p), requires_grad=True) for p in ("W", "b"))
    plain = PlainTransformer("bert", checkpoint("bert"))
    examples = annotated_examples(nlp)
    doc = read(nlp, examples[0].predicted.text)
    scores = plain.token_rows(doc) @ W.T + b
    tags = [tagger.labels.index(tag) for tag in ANNOTATION["tags"]]
    loss = -scores.log_softmax(dim=1)[range(len(tags)), tags].sum()
    (2 * loss).backward()  # two examples
    predicted = nlp(doc.text)
    expected = [tagger.labels[i] for i in scores.argmax(dim=1).tolist()]
    assert [token.tag_ for token in predicted] == expected
    nlp.update(examples, sgd=False)
    got = output.get_grad("W")
    scale = float((got * W.grad.numpy()).sum() / (W.grad**2).sum())  # spaCy may normalize
    assert scale > 0
    numpy.testing.assert_allclose(got, scale * W.grad.numpy(), atol=1e-5)
    expected_gradients = {name: scale * g for name, g in plain.gradients().items()}
    assert_near(get_gradients(nlp), expected_gradients)


# Several heads


def count_runs(monkeypatch):
    runs = []
    for method in ("predict", "update"):
        original = getattr(EncoderEngine, method)

        def counted(self, *args, _original=original, _method=method, **kwargs):
            runs.append(_method)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(EncoderEngine, method, counted)
    return runs


@pytest.mark.filterwarnings("ignore:.*W0")
def test_several_heads_share_one_run(fresh, monkeypatch):
    nlp = fresh("bert")
    names = ["tagger", "parser", "ner", "textcat", "spancat"]
    for name in names:
        add_head(nlp, name)
    nlp.add_pipe("trf_textcat").initialize(lambda: annotated_examples(nlp), nlp=nlp)
    initialize_heads(nlp, *names)
    randomize_heads(nlp, *names)
    runs = count_runs(monkeypatch)
    nlp.update(annotated_examples(nlp), sgd=make_adam())
    get_module(nlp)
    assert runs == ["update"]
    nlp(make_reference(nlp).text)
    assert runs == ["update", "predict"]
    nlp.update(annotated_examples(nlp), sgd=make_adam(), annotates=["trf_tok2vec", "parser"])
    assert runs == ["update", "predict", "update"]


@pytest.mark.filterwarnings("ignore:.*W0")
def test_gradients_of_several_heads_add_up(fresh):
    nlp = fresh("bert")
    names = ["tagger", "spancat", "morphologizer"]
    for name in names:
        add_head(nlp, name)
    initialize_heads(nlp, *names)
    randomize_heads(nlp, *names)

    def gradient(*excluded):
        get_module(nlp).zero_grad()
        nlp.update(annotated_examples(nlp), sgd=False, exclude=excluded)
        return get_gradients(nlp)

    separate = [gradient(*(other for other in names if other != name)) for name in names]
    together = gradient()
    summed = {name: sum(g[name] for g in separate if name in g) for name in together}
    assert_near(together, summed)


def test_entity_linker_learns_from_the_context(fresh):
    nlp = fresh("bert")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": name} for name in ("Anna", "Robert")])
    add_head(nlp, "entity_linker")
    initialize_heads(nlp, "entity_linker")
    before = get_weights(nlp)
    optimizer = make_adam(0.01, eps=1e-8, L2=0.0)
    for _ in range(40):  # the entity linker reads the sentences of the predicted Docs
        nlp.update(annotated_examples(nlp), sgd=optimizer, annotates=["sentencizer"])
    assert_moved(get_weights(nlp), before, 1e-3)
    assert [ent.kb_id_ for ent in nlp(make_reference(nlp).text).ents] == ["Q1", "Q2"]
