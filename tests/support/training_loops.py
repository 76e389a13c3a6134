"""Training loops in plain torch and in spaCy, and the tensors that autograd saves of a batch."""

from __future__ import annotations

import gc
import weakref

from spacy.training.loop import train_while_improving
from torch_oracle import (
    ADAM,
    PlainAdam,
    PlainTransformer,
    make_adam,
    make_examples,
    plain_backward,
    randomize,
    read,
)

BATCHES = [
    ["My name is Robert. Apple pie is delicious! Is it?", "The tide had gone out."],
    ["Bake it at 180 degrees for fifty minutes.", "", "A", "Perhaps. Yes... no."],
    ["The well-known state-of-the-art model doesn't understand everything."],
]
TEXTS = [
    "My name is Robert.",
    "Apple pie is delicious! Is it?",
    "The tide had gone out.",
    "Perhaps.",
    "Bake it at 180 degrees.",
    "A",
    "Laced with dreams, dripping in reality",
    "U.S. and U.K. laws differ. Yes... no.",
]


def plain_loop(family, folder, nlp, batches, rates, **settings):
    """Train with plain torch; return the weights after each step, the model and the optimizer."""
    plain = PlainTransformer(family, folder)
    adam = PlainAdam(**{**ADAM, **settings})
    weights = []
    for batch, rate in zip(batches, rates, strict=True):
        plain_backward(plain, [read(nlp, text) for text in batch])
        adam.step(plain.model, rate)
        weights.append(plain.weights())
    return weights, plain, adam


def labelled(nlp, texts):
    """Make examples with the labels A and B in turn."""
    return make_examples(nlp, texts, lambda i: {"cats": {"A": float(i % 2), "B": 1.0 - i % 2}})


def with_textcat(nlp, name="trf_textcat", seed=1, **model):
    """Add a text categorizer for the labels A and B, with reproducible weights."""
    architecture = model.pop("architecture", "trf_bridge.TextCatMean.v1")
    config = {"model": {"@architectures": architecture, **model}}
    textcat = nlp.add_pipe("trf_textcat", name=name, config=config)
    examples = labelled(nlp, [text for batch in BATCHES for text in batch])
    textcat.initialize(lambda: examples, nlp=nlp)
    randomize(textcat, seed)
    return textcat


def finish(nlp, optimizer):
    """Finish a step as spaCy's training loop does."""
    for _, component in nlp.pipeline:
        if getattr(component, "is_trainable", False) and component.model not in (True, False, None):
            component.finish_update(optimizer)


def run_training_loop(nlp, accumulate, steps=3, optimizer=None, **kwargs):
    """Run spaCy's training loop without evaluation."""
    settings = {"exclude": [], "annotating_components": [], "dropout": 0.0, **kwargs}
    for _ in train_while_improving(
        nlp,
        optimizer or make_adam(),
        [(0, labelled(nlp, TEXTS)) for _ in range(steps)],
        lambda: (0.0, {}),
        eval_frequency=100,
        accumulate_gradient=accumulate,
        patience=0,
        max_steps=0,
        before_update=None,
        **settings,
    ):
        pass


class SavedTensors:
    """Record which batches have tensors that are saved for a backward pass."""

    def __init__(self):
        self.alive = weakref.WeakKeyDictionary()
        self.batch = 0

    def pack(self, tensor):
        saved = Saved(tensor.detach())  # detached, because its graph refers to this object
        self.alive[saved] = self.batch
        return saved

    def batches(self):
        """Return the numbers of the batches whose tensors are alive."""
        gc.collect()
        return set(self.alive.values())


class Saved:
    """A tensor that can be referenced weakly."""

    def __init__(self, tensor):
        self.tensor = tensor
