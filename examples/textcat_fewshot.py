"""Train a text classifier on a few dozen examples.

python examples/textcat_fewshot.py
python examples/textcat_fewshot.py train.jsonl test.jsonl

A line of the files: {"text": "Where is my parcel?", "label": "delivery"}. Without files, the data
are generated requests to a shop.
"""

import argparse
import random

import spacy
import srsly
from make_data import make_requests
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch
from thinc.api import Adam, warmup_linear


def read_texts(path):
    """Read (text, label) pairs."""
    return [(line["text"], line["label"]) for line in srsly.read_jsonl(path)]


def make_texts(n, seed, held_out):
    """Generate (text, label) pairs."""
    docs = make_requests(spacy.blank("en"), random.Random(seed), n, held_out)
    return [(doc.text, max(doc.cats, key=doc.cats.get)) for doc in docs]


def make_examples(nlp, texts, labels):
    """Create examples with the expected score of each label."""
    cats = {label: {other: float(other == label) for other in labels} for label in labels}
    return [Example.from_dict(nlp.make_doc(text), {"cats": cats[label]}) for text, label in texts]


def train(nlp, texts, epochs, learn_rate, batch_size=16):
    """Add a text classifier for the labels, and train it together with the transformer."""
    labels = sorted({label for _, label in texts})
    examples = make_examples(nlp, texts, labels)
    textcat = nlp.add_pipe("trf_textcat")
    textcat.initialize(lambda: examples, nlp=nlp)

    n_steps = epochs * (1 + (len(texts) - 1) // batch_size)
    rates = warmup_linear(learn_rate, warmup_steps=n_steps // 10, total_steps=n_steps)
    optimizer = nlp.resume_training(sgd=Adam(learn_rate=rates))
    for epoch in range(epochs):
        losses = {}
        random.shuffle(examples)
        for batch in minibatch(examples, size=batch_size):
            nlp.update(batch, sgd=optimizer, drop=0.1, losses=losses)
            optimizer.step_schedules()
        print(f"epoch {epoch + 1}: loss {losses['trf_textcat']:.3f}")


def accuracy(nlp, texts):
    """Compute how often the label with the highest score is the expected one."""
    docs = nlp.pipe(text for text, _ in texts)
    correct = [
        max(doc.cats, key=doc.cats.get) == label
        for doc, (_, label) in zip(docs, texts, strict=True)
    ]
    return sum(correct) / len(correct)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", help="JSONL file")
    parser.add_argument("test", nargs="?", help="JSONL file")
    parser.add_argument("--pipeline", default="en_trf_bert", help="a pipeline with a transformer")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learn-rate", type=float, default=2e-4)
    parser.add_argument("--output", help="folder for the trained pipeline")
    args = parser.parse_args(argv)
    if args.train and not args.test:
        parser.error("expected a second file, to test on")

    fix_random_seed(0)
    train_texts = read_texts(args.train) if args.train else make_texts(32, 0, held_out=False)
    test_texts = read_texts(args.test) if args.test else make_texts(100, 1, held_out=True)
    nlp = spacy.load(args.pipeline)
    train(nlp, train_texts, args.epochs, args.learn_rate)
    print(f"accuracy {accuracy(nlp, test_texts):.1%} on {len(test_texts)} texts")
    if args.output:
        nlp.to_disk(args.output)
    return nlp


if __name__ == "__main__":
    main()
