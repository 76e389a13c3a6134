"""An oracle for training: plain torch, sentence by sentence, without padding."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import oracles
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.training import Example
from thinc.api import Optimizer

TRANSFORMER = "trf_tok2vec"

# Attribute of a Doc -> its name in the output of a Hugging Face model.
PLAIN_OUTPUTS = {
    "last_hidden_state": "last_hidden_state",
    "pooler_output": "pooler_output",
    "all_hidden_states": "hidden_states",
    "all_attentions": "attentions",
}


class PlainTransformer:
    """The checkpoint of a family as transformers loads it, with its own copy of the weights."""

    def __init__(self, family: str, folder: Path) -> None:
        self.model = copy.deepcopy(oracles.load_plain(family, folder))
        self.model.requires_grad_(True)
        self.model.train()  # the tiny checkpoints have no dropout
        self.tokenizer = oracles.load_plain_tokenizer(folder)
        self.max_length: int | None = None

    def sentences(self, doc: Any) -> list[oracles.Sentence]:
        """Return the wordpieces of each sentence, by the Hugging Face tokenizer."""
        return oracles.plain_sentences(doc, self.tokenizer, self.max_length)

    def run(self, doc: Any, **flags: bool) -> list[Any]:
        """Return the outputs for each sentence; none for a Doc without tokens."""
        return [
            oracles.run_plain(self.model, s.ids, s.type_ids, **flags) for s in self.sentences(doc)
        ]

    def hidden(self, doc: Any) -> Any:
        """Return the last hidden state of all wordpieces of a Doc."""
        import torch

        states = [run.last_hidden_state[0] for run in self.run(doc)]
        width = self.model.config.hidden_size
        return torch.cat(states) if states else torch.zeros((0, width))

    def token_rows(self, doc: Any) -> Any:
        """Return `doc.tensor`, connected to the weights."""
        hidden = self.hidden(doc)
        return self.alignment(doc, len(hidden), hidden.dtype) @ hidden

    def alignment(self, doc: Any, n_rows: int, dtype: Any = None) -> Any:
        """Return the alignment as a matrix, (n_tokens, n_wp)."""
        import torch

        links = oracles.align_doc(doc, self.sentences(doc))
        counts = oracles.shares(links, n_rows)
        matrix = torch.zeros((len(links), n_rows), dtype=dtype)
        for token, linked in enumerate(links):
            for row in linked:
                matrix[token, row] = 1 / counts[row]
        return matrix

    def gradients(self) -> dict[str, Any]:
        """Return the gradients of the weights that have one, by name."""
        return {
            name: weights.grad.numpy().copy()
            for name, weights in self.model.named_parameters()
            if weights.grad is not None
        }

    def weights(self) -> dict[str, Any]:
        """Return all weights, by name."""
        return module_weights(self.model)


class PlainAdam:
    """The formulas of thinc's Adam, over torch weights."""

    def __init__(
        self,
        *,
        b1: float = 0.9,
        b2: float = 0.999,
        eps: float = 1e-8,
        L2: float = 0.0,
        grad_clip: float = 0.0,
    ) -> None:
        self.b1, self.b2, self.eps, self.L2, self.grad_clip = b1, b2, eps, L2, grad_clip
        self.state: dict[str, list[Any]] = {}
        self.averages: dict[str, Any] = {}

    def step(self, model: Any, learn_rate: float, scales: dict[str, float] | None = None) -> None:
        """Update the weights that have a gradient, and delete the gradients."""
        import torch

        with torch.no_grad():
            for name, weights in model.named_parameters():
                if weights.grad is not None:
                    rate = learn_rate * (scales or {}).get(name, 1.0)
                    self._step(name, weights, weights.grad, rate)
                    weights.grad = None

    def _step(self, name: str, weights: Any, gradient: Any, learn_rate: float) -> None:
        import torch

        if name not in self.state:
            self.state[name] = [0, torch.zeros_like(weights), torch.zeros_like(weights)]
            self.averages[name] = torch.zeros_like(weights)
        state = self.state[name]
        state[0] += 1
        n = state[0]
        norm = float(gradient.norm())
        if self.grad_clip and norm >= self.grad_clip:
            gradient = gradient * (self.grad_clip / norm)
        state[1] = self.b1 * state[1] + (1 - self.b1) * gradient
        state[2] = self.b2 * state[2] + (1 - self.b2) * gradient**2
        corrected = learn_rate * math.sqrt(1 - self.b2**n) / (1 - self.b1**n)
        weights -= corrected * state[1] / (state[2].sqrt() + self.eps)
        weights -= learn_rate * self.L2 * weights
        decay = min((1 + n) / (10 + n), 0.9999)
        self.averages[name] = decay * self.averages[name] + (1 - decay) * weights.detach()


# Settings of optimizers for comparisons. eps is larger than usual, because the gradient of some
# weights (the bias of the keys in attention) is zero: both sides compute only a rounding error.
ADAM = {"b1": 0.9, "b2": 0.99, "eps": 1e-4, "L2": 0.01, "grad_clip": 1.0}


def make_adam(learn_rate: Any = 0.01, **settings: Any) -> Optimizer:
    """Create thinc's Adam with the settings of `ADAM`."""
    options = {**ADAM, "use_averages": False, **settings}
    beta1, beta2 = options.pop("b1"), options.pop("b2")
    return Optimizer(learn_rate, beta1=beta1, beta2=beta2, **options)


def make_sgd(learn_rate: Any = 0.1) -> Optimizer:
    """Create plain gradient descent: the step is the gradient."""
    return Optimizer(learn_rate, L2=0.0, beta1=0.0, beta2=0.0, grad_clip=0.0, use_averages=False)


# A loss that any component could have. For each output it has a linear part, with different factors
# for the columns, and a quadratic part, so that the gradient depends on the weights.


class GradientWriter(Pipe):
    """A component of a user, which only adds gradients to the predicted Docs."""

    def __init__(self, name: str, outputs: Sequence[str], scale: float) -> None:
        self.name = name
        self.outputs = list(outputs)
        self.scale = scale
        self.seen: list[Any] = []

    def __call__(self, doc: Any) -> Any:
        return doc

    def update(
        self, examples: Any, *, drop: float = 0.0, sgd: Any = None, losses: Any = None
    ) -> dict[str, float]:
        self.seen = [example.predicted for example in examples]
        for doc in self.seen:
            if "last_hidden_state" in self.outputs:
                doc._.trf_d_last_hidden_state += self._gradient(doc._.trf_last_hidden_state)
            if "pooler_output" in self.outputs:
                doc._.trf_d_pooler_output += self._gradient(doc._.trf_pooler_output)
            if "all_hidden_states" in self.outputs:
                d_states = doc._.trf_d_all_hidden_states
                for layer, states in enumerate(doc._.trf_all_hidden_states):
                    d_states[layer] += self._gradient(states, layer + 1)
            if "all_attentions" in self.outputs:
                for d_attention, attention in zip(
                    doc._.trf_d_all_attentions, doc._.trf_all_attentions, strict=True
                ):
                    for layer in range(len(attention)):
                        d_attention[layer] += self._gradient(attention[layer], layer + 1)
        return {} if losses is None else losses

    def _gradient(self, array: Any, shift: int = 0) -> Any:
        # The factors depend on the column alone: a Doc holds the rows of several sentences, and
        # plain torch runs one sentence at a time.
        pattern = numpy.cos(numpy.arange(array.shape[-1]) + shift).astype("float32")
        return self.scale * (pattern + 0.5 * array)


def plain_loss(tensor: Any, scale: float, shift: int = 0) -> Any:
    """Compute the loss whose gradient a `GradientWriter` adds, for one output."""
    import torch

    pattern = torch.cos(torch.arange(tensor.shape[-1], dtype=torch.float64) + shift)
    return scale * ((pattern.to(tensor.dtype) * tensor).sum() + 0.25 * (tensor**2).sum())


def plain_backward(
    plain: PlainTransformer,
    docs: Sequence[Any],
    outputs: Sequence[str] = ("last_hidden_state",),
    scale: float = 1.0,
) -> None:
    """Add the gradient of the loss over some Docs to the weights of the plain model."""
    flags = {
        f"output_{name}": True
        for attribute, name in PLAIN_OUTPUTS.items()
        if attribute.startswith("all_") and attribute in outputs
    }
    for doc in docs:
        for run in plain.run(doc, **flags):
            total = 0.0
            for attribute in outputs:
                value = run[PLAIN_OUTPUTS[attribute]]
                if isinstance(value, tuple):
                    losses = [plain_loss(v, scale, i + 1) for i, v in enumerate(value)]
                    total = total + sum(losses)
                else:
                    total = total + plain_loss(value, scale)
            if total.requires_grad:  # unless all weights below it are frozen
                total.backward()


@Language.factory("test_gradient_writer")
def make_gradient_writer(
    nlp: Language, name: str, outputs: list[str] | None = None, scale: float = 1.0
) -> GradientWriter:
    """Create a component that adds gradients."""
    return GradientWriter(name, outputs or ["last_hidden_state"], scale)


def add_writer(nlp: Any, *outputs: str, name: str = "writer", scale: float = 1.0) -> GradientWriter:
    """Add a component that adds gradients to the end of a pipeline."""
    config = {"outputs": list(outputs) or None, "scale": scale}
    writer: GradientWriter = nlp.add_pipe("test_gradient_writer", name=name, config=config)
    return writer


# Weights and gradients of a pipeline


def get_module(nlp: Any) -> Any:
    """Return the torch module of trf_tok2vec, after the pending update is settled."""
    return nlp.get_pipe(TRANSFORMER).model.shims[0]._model


def peek_module(nlp: Any) -> Any:
    """Return the torch module of trf_tok2vec without settling the pending update."""
    return nlp.get_pipe(TRANSFORMER)._layer.shims[0]._model


def module_weights(module: Any) -> dict[str, Any]:
    return {name: w.detach().numpy().copy() for name, w in module.named_parameters()}


def get_weights(nlp: Any) -> dict[str, Any]:
    """Return the transformer's weights by name, after the pending update is settled."""
    return module_weights(get_module(nlp))


def get_gradients(nlp: Any) -> dict[str, Any]:
    """Return the gradients of the transformer's weights, by name."""
    return {
        name: weights.grad.numpy().copy()
        for name, weights in get_module(nlp).named_parameters()
        if weights.grad is not None
    }


def assert_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Check that weights are equal to the bit."""
    assert one.keys() == two.keys()
    for name in one:
        numpy.testing.assert_array_equal(one[name], two[name], err_msg=name)


def assert_near(
    got: dict[str, Any], expected: dict[str, Any], atol: float = 1e-5, rtol: float = 1e-5
) -> None:
    """Check that weights or gradients are equal up to rounding. A missing gradient is zero."""
    for name in got.keys() | expected.keys():
        one, two = got.get(name), expected.get(name)
        if one is None or two is None:
            present = two if one is None else one
            numpy.testing.assert_allclose(present, 0.0, atol=atol, err_msg=name)
            continue
        scale = max(1.0, float(abs(two).max()))
        numpy.testing.assert_allclose(one, two, atol=atol * scale, rtol=rtol, err_msg=name)


def assert_moved(one: dict[str, Any], two: dict[str, Any], least: float = 1e-4) -> None:
    """Check that weights changed. Otherwise a comparison of steps would mean nothing."""
    assert max(float(abs(one[name] - two[name]).max()) for name in one) > least


def make_examples(
    nlp: Any, texts: Sequence[str], annotations: Callable[[int], dict[str, Any]] | None = None
) -> list[Example]:
    """Create examples of raw texts. A function of their number returns the annotations."""
    return [
        Example.from_dict(nlp.make_doc(text), {} if annotations is None else annotations(i))
        for i, text in enumerate(texts)
    ]


def read(nlp: Any, text: str) -> Any:
    """Create a Doc with the sentence boundaries of the pipeline's sentencizer."""
    doc = nlp.make_doc(text)
    return nlp.get_pipe("sentencizer")(doc) if "sentencizer" in nlp.component_names else doc


# Text classification

CLASS, TANH, POOLER, MEAN = (
    f"trf_bridge.TextCat{name}.v1" for name in ("ClassVector", "ClassVectorTanh", "Pooler", "Mean")
)


class PlainTextcat:
    """A transformer and a head with the weights of a pipeline, as one torch module."""

    def __init__(self, plain: PlainTransformer, textcat: Any, architecture: str) -> None:
        import torch

        self.plain = plain
        self.architecture = architecture
        self.exclusive = not textcat.model.attrs["multi_label"]
        self.labels = textcat.labels
        self.module = torch.nn.Module()
        self.module.transformer = plain.model
        for i, node in enumerate(head_nodes(textcat)):
            for param in ("W", "b"):
                weights = torch.nn.Parameter(torch.tensor(node.get_param(param)))
                setattr(self.module, f"{param}{i}", weights)

    def scores(self, docs: Sequence[Any]) -> Any:
        """Return a score for each Doc and label, before the softmax or logistic function."""
        import torch

        rows = torch.stack([self._vector(doc) for doc in docs])
        n = 1 if self.architecture == TANH else 0
        return rows @ getattr(self.module, f"W{n}").T + getattr(self.module, f"b{n}")

    def probabilities(self, docs: Sequence[Any]) -> Any:
        """Return the expected predictions of the component."""
        scores = self.scores(docs)
        return (scores.softmax(dim=1) if self.exclusive else scores.sigmoid()).detach().numpy()

    def backward(self, docs: Sequence[Any], cats: Sequence[dict[str, float]]) -> None:
        """Add the gradient of the cross-entropy, summed over the batch.

        A label that an example does not contain is left out where several labels can apply, and is
        wrong where only one can.
        """
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        truths = torch.tensor(
            [[scores.get(label, 0.0) for label in self.labels] for scores in cats]
        )
        scores = self.scores(docs)
        if self.exclusive:
            loss = -(truths * scores.log_softmax(dim=1)).sum()
        else:
            known = torch.tensor([[float(label in c) for label in self.labels] for c in cats])
            loss = binary_cross_entropy_with_logits(scores, truths, known, reduction="sum")
        loss.backward()

    def _vector(self, doc: Any) -> Any:
        import torch

        vectors = []
        for sentence, run in zip(self.plain.sentences(doc), self.plain.run(doc), strict=True):
            hidden = run.last_hidden_state[0]
            if self.architecture == POOLER:
                vectors.append(run.pooler_output[0])
            elif self.architecture == MEAN:
                vectors.append(hidden.mean(dim=0))
            else:
                vector = hidden[sentence.ids.index(self.plain.tokenizer.cls_token_id)]
                if self.architecture == TANH:
                    vector = torch.tanh(self.module.W0 @ vector + self.module.b0)
                vectors.append(vector)
        width = self.plain.model.config.hidden_size
        return torch.stack(vectors).mean(dim=0) if vectors else torch.zeros(width)

    def head_gradients(self) -> dict[str, Any]:
        """Return the gradients by the names of the function `head_gradients`."""
        named = self.module.named_parameters(recurse=False)
        return {name: w.grad.numpy().copy() for name, w in named if w.grad is not None}

    def head_weights(self) -> dict[str, Any]:
        """Return the weights by the names of the function `head_weights`."""
        named = self.module.named_parameters(recurse=False)
        return {name: w.detach().numpy().copy() for name, w in named}


def head_nodes(component: Any) -> list[Any]:
    """Return the layers of a component that have weights, the lowest first."""
    nodes = [node for node in component.model.walk() if node.has_param("W")]
    if component.model.has_ref("output_layer"):
        above = {node.id for node in component.model.get_ref("output_layer").walk()}
        nodes.sort(key=lambda node: node.id in above)
    return nodes


def head_weights(component: Any) -> dict[str, Any]:
    """Return the weights of a component's own layers, by name and position."""
    return {
        f"{param}{i}": node.get_param(param).copy()
        for i, node in enumerate(head_nodes(component))
        for param in node.param_names
    }


def head_gradients(component: Any) -> dict[str, Any]:
    """Return the gradients in a component's own layers, by name and position."""
    return {
        f"{param}{i}": node.get_grad(param).copy()
        for i, node in enumerate(head_nodes(component))
        for param in node.param_names
        if node.has_grad(param)
    }


def randomize(component: Any, seed: int = 1) -> None:
    """Set the weights of a component's own layers to fixed numbers that are far from zero."""
    random = numpy.random.default_rng(seed)
    for node in head_nodes(component):
        for param in node.param_names:
            shape = node.get_param(param).shape
            node.set_param(param, random.normal(0, 0.3, shape).astype("f"))
