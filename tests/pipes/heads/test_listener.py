"""spaCy's own components on top of the transformer, through `Tok2VecListener` and standalone."""

from __future__ import annotations

import warnings

import numpy
import pytest
import spacy
from spacy.kb import InMemoryLookupKB
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import registry
from thinc.api import Config
from tiny import FAMILIES, WIDTH
from token_loss import LISTENER, TokenLoss, plain_token_loss, text_examples
from torch_oracle import (
    ADAM,
    PlainAdam,
    PlainTransformer,
    assert_moved,
    assert_near,
    assert_same,
    get_gradients,
    get_module,
    get_weights,
    make_adam,
    make_sgd,
    module_weights,
    peek_module,
    read,
)

from trf_bridge.pipes.heads.listener import Listener, Tok2VecListener
from trf_bridge.wrappers.engine import Engine


@pytest.fixture(autouse=True)
def fixed_seed():
    spacy.util.fix_random_seed(0)


WORDS = ["Anna", "counted", "the", "boats", ".", "Robert", "is", "here", "!"]
ANNOTATION = {
    "words": WORDS,
    "spaces": [True, True, True, False, True, True, True, False, False],
    "tags": ["NNP", "VBD", "DT", "NNS", ".", "NNP", "VBZ", "RB", "."],
    "pos": ["PROPN", "VERB", "DET", "NOUN", "PUNCT", "PROPN", "VERB", "ADV", "PUNCT"],
    "morphs": ["", "Tense=Past", "", "Number=Plur", "", "", "Tense=Pres", "", ""],
    "heads": [1, 1, 3, 1, 1, 6, 6, 6, 6],
    "deps": ["nsubj", "ROOT", "det", "dobj", "punct", "nsubj", "ROOT", "advmod", "punct"],
    "sent_starts": [1, -1, -1, -1, -1, 1, -1, -1, -1],
    "entities": ["U-PERSON", "O", "O", "O", "O", "U-PERSON", "O", "O", "O"],
    "spans": {"sc": [(0, 4, "PERSON"), (13, 22, "THING")]},
    "cats": {"SEA": 1.0, "BAKING": 0.0},
    "links": {(0, 4): {"Q1": 1.0, "Q2": 0.0}, (24, 30): {"Q2": 1.0, "Q1": 0.0}},
}

REDUCE = {
    "@layers": "spacy.mean_max_reducer.v1",
    "hidden_size": 8,
}
CONFIGS = {
    "tagger": {"model": {"@architectures": "spacy.Tagger.v2"}},
    "morphologizer": {"model": {"@architectures": "spacy.Tagger.v2"}},
    "senter": {"model": {"@architectures": "spacy.Tagger.v2"}},
    "trainable_lemmatizer": {"model": {"@architectures": "spacy.Tagger.v2"}},
    "parser": {
        "model": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "parser",
            "extra_state_tokens": False,
            "hidden_width": 8,
            "maxout_pieces": 2,
            "use_upper": True,
        }
    },
    "ner": {
        "model": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 8,
            "maxout_pieces": 2,
            "use_upper": False,
        }
    },
    "spancat": {
        "model": {
            "@architectures": "spacy.SpanCategorizer.v1",
            "reducer": REDUCE,
            "scorer": {"@layers": "spacy.LinearLogistic.v1"},
        }
    },
    "textcat": {
        "model": {
            "@architectures": "spacy.TextCatEnsemble.v2",
            "linear_model": {
                "@architectures": "spacy.TextCatBOW.v3",
                "exclusive_classes": True,
                "ngram_size": 1,
                "no_output_layer": False,
                "length": 64,
            },
        }
    },
    "entity_linker": {"model": {"@architectures": "spacy.EntityLinker.v2"}},
}


def reference(nlp):
    annotation = {**ANNOTATION}
    spaces, spans = annotation.pop("spaces"), annotation.pop("spans")
    doc = spacy.tokens.Doc(
        nlp.vocab,
        words=annotation["words"],
        spaces=spaces,
        tags=annotation["tags"],
        pos=annotation["pos"],
        morphs=annotation["morphs"],
        heads=annotation["heads"],
        deps=annotation["deps"],
        lemmas=[word.lower() for word in WORDS],
    )
    doc.ents = [Span(doc, 0, 1, "PERSON", kb_id="Q1"), Span(doc, 5, 6, "PERSON", kb_id="Q2")]
    doc.spans["sc"] = [doc.char_span(*span) for span in spans["sc"]]
    doc.cats = annotation["cats"]
    return doc


def make_examples(nlp, n=2):
    docs = [reference(nlp) for _ in range(n)]
    return [Example(nlp.make_doc(doc.text), doc) for doc in docs]


def make_kb(vocab):
    kb = InMemoryLookupKB(vocab, entity_vector_length=WIDTH)
    random = numpy.random.default_rng(0)
    for entity in ("Q1", "Q2"):
        kb.add_entity(entity, 10, random.normal(size=WIDTH).astype("f"))
    for alias in ("Anna", "Robert"):
        kb.add_alias(alias, ["Q1", "Q2"], [0.5, 0.5])
    return kb


def add_head(nlp, component, listener=LISTENER, name=None, **kwargs):
    """One of spaCy's components, which listens to the transformer."""
    model = {**CONFIGS[component]["model"], "tok2vec": listener}
    config = {"model": model}
    if component in ("senter", "tagger"):
        config["overwrite"] = True
    if component == "parser":
        config["min_action_freq"] = 1
    if component == "trainable_lemmatizer":
        config["min_tree_freq"] = 1
    if component == "entity_linker":
        config |= {"use_gold_ents": True, "incl_prior": False}
    return nlp.add_pipe(component, name=name or component, config=config, **kwargs)


def initialize(nlp, *names):
    """Only what is new."""
    examples = make_examples(nlp)
    for name in names:
        head = nlp.get_pipe(name)
        options = {"kb_loader": make_kb} if isinstance(head, spacy.pipeline.EntityLinker) else {}
        head.initialize(lambda: examples, nlp=nlp, **options)


def predict(nlp):
    """What the heads say of a text, in a form that can be compared."""
    docs = list(nlp.pipe(["Anna counted the boats. Robert is here!", "", "Bake it."]))
    return [doc.to_json() for doc in docs]


def randomize(nlp, *names, seed=1, scale=0.3):
    """Output layers start as zeros, and nothing would come through them."""
    random = numpy.random.default_rng(seed)
    for name in names:
        for node in nlp.get_pipe(name).model.walk():
            for param in node.param_names:
                if node.has_param(param):
                    shape = node.get_param(param).shape
                    values = random.normal(0, scale, shape).astype("f")
                    node.set_param(param, values)


# All of spaCy's heads


@pytest.mark.parametrize("component", CONFIGS)
@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_component_initializes_trains_predicts_and_saves(fresh, tmp_path, component):
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize(nlp, component)
    randomize(nlp, component)
    before = get_weights(nlp)
    optimizer = make_adam()
    for _ in range(3):
        nlp.update(make_examples(nlp), sgd=optimizer)
    assert_moved(get_weights(nlp), before, 1e-3)
    for weights in get_weights(nlp).values():
        assert numpy.isfinite(weights).all()
    expected = predict(nlp)
    nlp.to_disk(tmp_path / "saved")
    assert predict(spacy.load(tmp_path / "saved")) == expected
    other = fresh("bert")
    add_head(other, component)
    other.from_bytes(nlp.to_bytes())
    assert predict(other) == expected
    other.update(make_examples(other), sgd=make_adam(eps=1e-8))
    assert_moved(get_weights(other), get_weights(nlp), 1e-6)


@pytest.mark.parametrize("component", [c for c in CONFIGS if c != "entity_linker"])
@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_component_learns_its_examples_by_heart(fresh, component):
    spacy.util.fix_random_seed(0)
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize(nlp, component)
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
    for _ in range(10):  # how long it takes depends on the random weights of the head
        for _ in range(30):
            nlp.update(make_examples(nlp), sgd=optimizer)
        scores = nlp.evaluate(make_examples(nlp))
        if scores[key] == 1.0:
            break
    if component == "textcat":
        assert nlp(reference(nlp).text).cats["SEA"] > 0.9
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
    again = spacy.util.load_model_from_config(config, auto_fill=True)
    optimizer = again.initialize(lambda: make_examples(again))
    for component in ("tagger", "parser", "ner"):
        (listener,) = listeners_of(again, component)
        assert listener.get_dim("nO") == WIDTH
    before = get_weights(again)
    for _ in range(2):
        again.update(make_examples(again), sgd=optimizer)
    assert_moved(get_weights(again), before)


def listeners_of(nlp, name):
    return [node for node in nlp.get_pipe(name).model.walk() if isinstance(node, Listener)]


# The gradient of a listener, against torch


TEXTS = ["Anna counted the boats. Robert isn't here!", "", "state-of-the-art Straßenbahn 👍🏽", "A"]


@pytest.mark.parametrize("name", FAMILIES)
def test_gradient_goes_through_the_transpose_of_the_alignment(fresh, checkpoint, name):
    nlp = fresh(name)
    nlp.add_pipe("test_token_loss")
    plain = PlainTransformer(name, checkpoint(name))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


@pytest.mark.parametrize("factor", [1.0, 0.25, 0.0])
def test_grad_factor_weighs_the_gradient(fresh, checkpoint, factor):
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


def test_steps_of_a_listener_equal_a_plain_torch_loop(fresh, checkpoint):
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


def test_tagger_equals_torch(fresh, checkpoint):
    """One of spaCy's heads, whole: a softmax per token, its gradient scaled as spaCy scales it."""
    import torch

    nlp = fresh("bert")
    tagger = add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    randomize(nlp, "tagger")
    output = tagger.model.get_ref("softmax")
    W, b = (torch.tensor(output.get_param(p), requires_grad=True) for p in ("W", "b"))
    plain = PlainTransformer("bert", checkpoint("bert"))
    examples = make_examples(nlp)
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
        original = getattr(Engine, method)

        def counted(self, *args, _original=original, _method=method, **kwargs):
            runs.append(_method)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(Engine, method, counted)
    return runs


@pytest.mark.filterwarnings("ignore:.*W0")
def test_several_heads_share_one_run(fresh, monkeypatch):
    nlp = fresh("bert")
    names = ["tagger", "parser", "ner", "textcat", "spancat"]
    for name in names:
        add_head(nlp, name)
    nlp.add_pipe("trf_textcat").initialize(lambda: make_examples(nlp), nlp=nlp)
    initialize(nlp, *names)
    randomize(nlp, *names)
    runs = count_runs(monkeypatch)
    nlp.update(make_examples(nlp), sgd=make_adam())
    get_module(nlp)
    assert runs == ["update"]
    nlp(reference(nlp).text)
    assert runs == ["update", "predict"]
    nlp.update(make_examples(nlp), sgd=make_adam(), annotates=["trf_tok2vec", "parser"])
    assert runs == ["update", "predict", "update"]


@pytest.mark.filterwarnings("ignore:.*W0")
def test_gradients_of_several_heads_add(fresh):
    nlp = fresh("bert")
    names = ["tagger", "spancat", "morphologizer"]
    for name in names:
        add_head(nlp, name)
    initialize(nlp, *names)
    randomize(nlp, *names)

    def gradient(*excluded):
        get_module(nlp).zero_grad()
        nlp.update(make_examples(nlp), sgd=False, exclude=excluded)
        return get_gradients(nlp)

    each = [gradient(*(other for other in names if other != name)) for name in names]
    both = gradient()
    summed = {name: sum(g[name] for g in each if name in g) for name in both}
    assert_near(both, summed)


class CopyingTokenLoss(TokenLoss):
    """Trains on copies, as spaCy's entity linker does with gold entities."""

    def update(self, examples, **kwargs):
        return super().update([example.copy() for example in examples], **kwargs)


@spacy.Language.factory("test_copying_token_loss", default_config={"listener": LISTENER})
def make_copying_token_loss(nlp, name, listener):
    return CopyingTokenLoss(listener)


def test_head_that_trains_on_copies_sends_its_gradient_all_the_same(fresh, checkpoint):
    nlp = fresh("bert")
    nlp.add_pipe("test_copying_token_loss")
    plain = PlainTransformer("bert", checkpoint("bert"))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


def test_entity_linker_links_by_the_context(fresh):
    nlp = fresh("bert")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": name} for name in ("Anna", "Robert")])
    add_head(nlp, "entity_linker")
    initialize(nlp, "entity_linker")
    before = get_weights(nlp)
    optimizer = make_adam(0.01, eps=1e-8, L2=0.0)
    for _ in range(40):  # the entity linker reads the sentences of the predicted Docs
        nlp.update(make_examples(nlp), sgd=optimizer, annotates=["sentencizer"])
    assert_moved(get_weights(nlp), before, 1e-3)
    assert [ent.kb_id_ for ent in nlp(reference(nlp).text).ents] == ["Q1", "Q2"]


def test_two_listeners_in_one_component(fresh, checkpoint):
    """Their gradients add."""
    nlp = fresh("bert")
    nlp.add_pipe("test_token_loss", name="one", config={"scale": 0.25})
    nlp.add_pipe("test_token_loss", name="two", config={"scale": 0.75})
    plain = PlainTransformer("bert", checkpoint("bert"))
    for text in TEXTS:
        if text:
            plain_token_loss(plain, read(nlp, text)).backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients())


# Connections


def test_width_is_that_of_the_transformer(fresh):
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


def test_listener_waits_for_the_transformer_that_it_names(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger", {**LISTENER, "upstream": "other"})
    with pytest.raises(ValueError, match=r"TB020.*'other'"):
        initialize(nlp, "tagger")
    add_head(nlp, "tagger", {**LISTENER, "upstream": "trf_tok2vec"}, name="second")
    initialize(nlp, "second")


def test_transformer_missing(checkpoint):
    nlp = spacy.blank("en")
    add_head(nlp, "tagger")
    with pytest.raises(ValueError, match="TB020"):
        nlp.initialize(lambda: make_examples(nlp))


def test_transformer_behind_its_head(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger", before="trf_tok2vec")
    with pytest.raises(ValueError, match="TB020"):
        initialize(nlp, "tagger")


@pytest.mark.parametrize("how", ["disabled", "removed", "excluded", "behind"])
def test_transformer_gone_after_initialize(fresh, tmp_path, how):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
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
            nlp.update(make_examples(nlp), sgd=make_adam())


def test_frozen_transformer_that_does_not_annotate(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    with pytest.raises(ValueError, match=r"TB021.*annotating_components"):
        nlp.update(make_examples(nlp), sgd=make_adam(), exclude=["trf_tok2vec"])


def test_rows_of_another_width_are_refused(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    doc = nlp.make_doc("A boat.")
    doc.tensor = numpy.zeros((3, WIDTH + 1), dtype="f")
    with pytest.raises(ValueError, match=f"TB021.*3 x {WIDTH + 1}"):
        nlp.get_pipe("tagger")(doc)


def test_sample_docs_of_initialize_are_never_read_as_zeros_later(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    examples = make_examples(nlp)
    nlp.get_pipe("tagger").initialize(lambda: examples, nlp=nlp)
    randomize(nlp, "tagger")
    doc = examples[0].reference
    with nlp.select_pipes(disable=["trf_tok2vec"]), pytest.raises(ValueError, match="TB021"):
        nlp(doc)
    expected = [token.tag_ for token in nlp(doc.text)]
    assert [token.tag_ for token in nlp(doc)] == expected


def test_retokenized_docs_are_read_by_their_new_tokens(fresh):
    """`doc.tensor` follows, and so does the alignment."""
    nlp = fresh("bert")
    nlp.add_pipe("merge_entities", after="trf_tok2vec")
    ruler = nlp.add_pipe("entity_ruler", before="merge_entities")
    ruler.add_patterns([{"label": "THING", "pattern": "the boats"}])
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    doc = nlp("Anna counted the boats.")
    assert [token.text for token in doc] == ["Anna", "counted", "the boats", "."]
    assert all(token.tag_ for token in doc)


# A head with a transformer of its own


@pytest.mark.parametrize("component", [c for c in CONFIGS if c != "entity_linker"])
@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_replaced_listener_predicts_the_same_trains_and_saves(fresh, tmp_path, component):
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize(nlp, component)
    randomize(nlp, component, scale=0.1)
    spacy.util.fix_random_seed(0)  # the parser cuts its training sequences at random
    nlp.update(make_examples(nlp), sgd=make_adam())  # pending when the copy is made
    nlp.replace_listeners("trf_tok2vec", component, ["model.tok2vec"])
    head = nlp.get_pipe(component)
    own = own_module(head)
    assert own is not get_module(nlp)
    assert_same(module_weights(own), get_weights(nlp))
    expected = predict(nlp)
    with_listener = fresh("bert")
    add_head(with_listener, component)
    initialize(with_listener, component)
    randomize(with_listener, component, scale=0.1)
    spacy.util.fix_random_seed(0)
    with_listener.update(make_examples(with_listener), sgd=make_adam())
    assert predict(with_listener) == expected
    shared, before = get_weights(nlp), module_weights(own)
    spacy.util.fix_random_seed(0)
    nlp.update(make_examples(nlp), sgd=make_adam(), exclude=["trf_tok2vec"])
    assert_same(get_weights(nlp), shared)
    assert_moved(module_weights(own), before, 1e-5)
    spacy.util.fix_random_seed(0)
    with_listener.update(make_examples(with_listener), sgd=make_adam())
    assert_near(module_weights(own), get_weights(with_listener), atol=2e-5)
    randomize(nlp, component, seed=2, scale=0.1)  # some have nothing more to learn by now
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert predict(loaded) == predict(nlp)
    own_of_loaded = own_module(loaded.get_pipe(component))
    assert_same(module_weights(own_of_loaded), module_weights(own))
    before = module_weights(own)
    for pipeline in (loaded, nlp):
        spacy.util.fix_random_seed(0)
        pipeline.update(make_examples(pipeline), sgd=make_adam(), exclude=["trf_tok2vec"])
    assert_moved(module_weights(own_of_loaded), before, 1e-5)
    if component != "trainable_lemmatizer":  # loaded, spaCy's sees other labels in the same data
        assert_near(module_weights(own_of_loaded), module_weights(own), atol=2e-5)


def own_module(head):
    (shim,) = [shim for node in head.model.walk() for shim in node.shims]
    return shim._model


@pytest.mark.parametrize("component", ["tagger", "parser", "ner", "spancat", "textcat"])
@pytest.mark.filterwarnings("ignore:.*W0")
def test_replaced_listener_can_be_initialized_again(fresh, component):
    nlp = fresh("bert")
    add_head(nlp, component)
    initialize(nlp, component)
    nlp.replace_listeners("trf_tok2vec", component, ["model.tok2vec"])
    initialize(nlp, component)
    predict(nlp)
    nlp.update(make_examples(nlp), sgd=make_adam(), exclude=["trf_tok2vec"])


def test_replaced_listener_works_without_the_shared_transformer(fresh):
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    randomize(nlp, "tagger")
    expected = predict(nlp)
    nlp.replace_listeners("trf_tok2vec", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("trf_tok2vec")
    assert predict(nlp) == expected
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
    found = {n: w.grad.numpy() for n, w in shim._model.named_parameters() if w.grad is not None}
    assert_near(found, plain.gradients())
    assert layer.predict([]) == []


def test_standalone_gradient_hands_on_nothing_that_is_not_there(fresh):
    """Docs without tokens have rows of the right width."""
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    nlp.replace_listeners("trf_tok2vec", "tagger", ["model.tok2vec"])
    examples = text_examples(nlp, ["", ""])
    before = module_weights(own_module(nlp.get_pipe("tagger")))
    nlp.update(examples, sgd=make_sgd(), exclude=["trf_tok2vec"])
    assert_same(module_weights(own_module(nlp.get_pipe("tagger"))), before)
    assert [len(doc) for doc in nlp.pipe(["", ""])] == [0, 0]


def test_rehearsal_copies_what_listens(fresh):
    """spaCy copies the model of a head to rehearse what it knew."""
    nlp = fresh("bert")
    add_head(nlp, "tagger")
    initialize(nlp, "tagger")
    nlp.update(make_examples(nlp), sgd=make_adam())
    nlp.resume_training()
    assert nlp.get_pipe("tagger")._rehearsal_model is not None
    assert_near(get_weights(nlp), module_weights(peek_module(nlp)))


def test_width_that_is_given_is_there_before_the_transformer_and_checked_against_it(fresh):
    nlp = fresh("bert")
    width = nlp.get_pipe("trf_tok2vec").model.get_dim("nO")
    layer = Tok2VecListener(width=width)
    assert layer.get_dim("nO") == width
    listener = {"@architectures": "trf_bridge.Tok2VecListener.v1", "width": width + 1}
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    with pytest.raises(ValueError, match="TB027"):
        nlp.add_pipe("tagger", config={"model": model})
