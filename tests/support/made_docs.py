"""Synthetic Docs with every annotation, built from a few names."""

from __future__ import annotations

import random

from spacy.language import Language
from spacy.tokens import Doc, Span

NAMES = ["Anna Berger", "Robert", "Ada Winter", "Tom"]
CITIES = ["Berlin", "Vienna", "New Orleans", "Oslo"]


def make_doc(nlp: Language, rng: random.Random) -> Doc:
    """Make a Doc with tags, a parse, entities and categories: "Anna Berger saw Berlin ."."""
    name, city = rng.choice(NAMES).split(), rng.choice(CITIES).split()
    verb = rng.choice(["saw", "left"])
    words = [*name, verb, *city, "."]
    root, end = len(name), len(words) - 1
    heads = [len(name) - 1] * (len(name) - 1) + [root, root]
    heads += [end - 1] * (len(city) - 1) + [root, root]
    deps = ["compound"] * (len(name) - 1) + ["nsubj", "ROOT"]
    deps += ["compound"] * (len(city) - 1) + ["obj", "punct"]
    tags = ["NNP"] * len(name) + ["VBD"] + ["NNP"] * len(city) + ["."]
    spaces = [True] * (end - 1) + [False, True]
    doc = Doc(nlp.vocab, words=words, spaces=spaces, heads=heads, deps=deps, tags=tags)
    doc.ents = [Span(doc, 0, root, "PERSON"), Span(doc, root + 1, end, "GPE")]
    doc.cats = {"STAY": float(verb == "saw"), "GO": float(verb == "left")}
    return doc
