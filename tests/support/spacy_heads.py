"""spaCy's trainable components as heads of a transformer: configs, annotated examples, weights."""

from __future__ import annotations

import numpy
import spacy
from spacy.kb import InMemoryLookupKB
from spacy.tokens import Span
from spacy.training import Example
from tiny import WIDTH
from token_loss import LISTENER

from trf_bridge.pipes.heads.listener import Listener

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


def make_reference(nlp):
    """Return a Doc with the gold annotation of every component."""
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


def annotated_examples(nlp, n=2):
    docs = [make_reference(nlp) for _ in range(n)]
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
    """Add one of spaCy's components with a listener."""
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


def initialize_heads(nlp, *names):
    """Initialize some components, and not the whole pipeline."""
    examples = annotated_examples(nlp)
    for name in names:
        head = nlp.get_pipe(name)
        options = {"kb_loader": make_kb} if isinstance(head, spacy.pipeline.EntityLinker) else {}
        head.initialize(lambda: examples, nlp=nlp, **options)


def predictions(nlp):
    """Return the annotations that the heads predict for some texts, as JSON."""
    docs = list(nlp.pipe(["Anna counted the boats. Robert is here!", "", "Bake it."]))
    return [doc.to_json() for doc in docs]


def randomize_heads(nlp, *names, seed=1, scale=0.3):
    """Randomize all weights of heads. Output layers start as zeros, which stop every gradient."""
    random = numpy.random.default_rng(seed)
    for name in names:
        for node in nlp.get_pipe(name).model.walk():
            for param in node.param_names:
                if node.has_param(param):
                    shape = node.get_param(param).shape
                    values = random.normal(0, scale, shape).astype("f")
                    node.set_param(param, values)


def listeners_of(nlp, name):
    """Return the listeners in the model of a component."""
    return [node for node in nlp.get_pipe(name).model.walk() if isinstance(node, Listener)]
