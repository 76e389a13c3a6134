"""Train a custom component: do the two sentences of a Doc mean the same?

python examples/custom_component.py --pipeline en_trf_bert
"""

import argparse

import spacy
import torch
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, Model, PyTorchWrapper

# Texts of two sentences, and whether both mean the same.
PAIRS = [
    ("The train is late. The train has a delay.", 1.0),
    ("The train is late. The train is blue.", 0.0),
    ("She bought a car. She purchased a vehicle.", 1.0),
    ("She bought a car. She sold her car.", 0.0),
    ("The shop is closed. The store is not open.", 1.0),
    ("The shop is closed. The shop is open.", 0.0),
]
UNSEEN = "He began to laugh. He started laughing.", "He began to laugh. He stopped laughing."


class PairScorer(torch.nn.Module):
    """Computes a logit from two vectors: their cosine, with a weight for each dimension."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output = torch.nn.Linear(width, 1)
        self.output.weight.data.fill_(10.0)
        self.output.bias.data.fill_(-8.0)

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        first, second = torch.nn.functional.normalize(pairs, dim=-1).unbind(dim=1)
        return self.output(first * second)


@spacy.registry.architectures("PairScorer.v1")
def make_pair_scorer(width: int) -> Model:
    return PyTorchWrapper(PairScorer(width))


@Language.factory("pair_similarity", default_config={"model": {"@architectures": "PairScorer.v1"}})
def make_pair_similarity(nlp: Language, name: str, model: Model) -> "PairSimilarity":
    return PairSimilarity(nlp.vocab, model, name)


class PairSimilarity(TrainablePipe):
    """Sets `doc._.pair_similarity`, from 0 to 1."""

    def __init__(self, vocab, model, name):
        self.vocab, self.model, self.name, self.cfg = vocab, model, name, {}
        if not Doc.has_extension("pair_similarity"):
            Doc.set_extension("pair_similarity", default=None)

    def predict(self, docs):
        logits = self.model.predict(self.read_vectors(docs))
        return self.model.ops.sigmoid(logits)[:, 0].tolist()

    def set_annotations(self, docs, scores):
        for doc, score in zip(docs, scores, strict=True):
            doc._.pair_similarity = score

    def update(self, examples, *, drop=0.0, sgd=None, losses=None):
        losses = {} if losses is None else losses
        docs = [example.predicted for example in examples]
        logits, backprop = self.model.begin_update(self.read_vectors(docs))
        truths = [[example.reference._.pair_similarity] for example in examples]
        d_logits = self.model.ops.sigmoid(logits) - self.model.ops.asarray2f(truths)
        self.add_gradient(docs, backprop(d_logits / len(docs)))
        losses[self.name] = losses.get(self.name, 0.0) + float((d_logits**2).mean())
        if sgd:
            self.finish_update(sgd)
        return losses

    def read_vectors(self, docs):
        """Compute the mean of each sentence's wordpieces, an array (n_docs, 2, width)."""
        states = [s._.trf_last_hidden_state for doc in docs for s in doc._.trf_segments]
        means = self.model.ops.xp.stack([state.mean(axis=0) for state in states])
        return means.reshape(len(docs), 2, -1)

    def add_gradient(self, docs, d_vectors):
        """Add the gradient of the means: each wordpiece has an equal share in its mean."""
        for doc, d_pair in zip(docs, d_vectors, strict=True):
            for sentence, d_mean in zip(doc._.trf_segments, d_pair, strict=True):
                sentence._.trf_d_last_hidden_state += d_mean / len(sentence._.trf_word_pieces)


def train(nlp, pairs, epochs, learn_rate):
    examples = [Example.from_dict(nlp.make_doc(text), {}) for text, _ in pairs]
    for example, (_, similarity) in zip(examples, pairs, strict=True):
        example.reference._.pair_similarity = similarity
    optimizer = nlp.resume_training(sgd=Adam(learn_rate=learn_rate))
    for epoch in range(epochs):
        losses = nlp.update(examples, sgd=optimizer)
        print(f"epoch {epoch:2}  loss {losses['pair_similarity']:.4f}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", default="en_trf_bert", help="a pipeline with a transformer")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--learn-rate", type=float, default=1e-4)
    args = parser.parse_args(argv)
    nlp = spacy.load(args.pipeline)
    width = nlp.get_pipe("trf_tok2vec").model.get_dim("nO")
    nlp.add_pipe("pair_similarity", config={"model": {"width": width}})
    train(nlp, PAIRS, args.epochs, args.learn_rate)
    for doc in nlp.pipe(UNSEEN):
        print(f"{doc._.pair_similarity:.2f}  {doc.text}")
    return nlp


if __name__ == "__main__":
    main()
