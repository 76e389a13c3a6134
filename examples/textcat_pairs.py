"""Train a classifier of pairs: do two texts mean the same?

python examples/textcat_pairs.py
python examples/textcat_pairs.py train.jsonl test.jsonl

A line of the files: {"first": "A man sleeps.", "second": "Someone is asleep.", "label": "same"}.
Without files, the pairs are generated.
"""

import argparse
import random

import spacy
import srsly
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch
from thinc.api import Adam, warmup_linear

SEPARATOR = "|||"

NAMES = ["Anna", "Robert", "Ada", "Tom", "Clara", "Omar", "Mei", "Paul"]
HELD_OUT = ["Nora", "Ivan", "Sofia", "Hugo"]
ACTIONS = [
    ("bought", "purchased"),
    ("mended", "repaired"),
    ("drew", "sketched"),
    ("hid", "concealed"),
]
THINGS = [("bicycle", "bike"), ("sofa", "couch"), ("photo", "picture"), ("cap", "hat")]


def read_pairs(path):
    """Read (text, label) pairs; each text contains both texts, with the separator."""
    return [
        (f"{line['first']} {SEPARATOR} {line['second']}", line["label"])
        for line in srsly.read_jsonl(path)
    ]


def make_pairs(n, seed, names):
    """Generate (text, label) pairs: half of them mean the same, half differ in one word."""
    rng = random.Random(seed)
    pairs = []
    for i in range(n):
        facts = [rng.choice(names), rng.choice(ACTIONS), rng.choice(THINGS)]
        others = list(facts)
        if i % 2:
            part = rng.randrange(3)
            choices = (names, ACTIONS, THINGS)[part]
            others[part] = rng.choice([choice for choice in choices if choice != facts[part]])
        first = f"{facts[0]} {facts[1][0]} the {facts[2][0]}."
        second = f"The {others[2][1]} was {others[1][1]} by {others[0]}."
        pairs.append((f"{first} {SEPARATOR} {second}", "other" if i % 2 else "same"))
    return pairs


def make_examples(nlp, pairs, labels):
    """Create examples with the expected score of each label."""
    cats = {label: {other: float(other == label) for other in labels} for label in labels}
    return [Example.from_dict(nlp.make_doc(text), {"cats": cats[label]}) for text, label in pairs]


def train(nlp, pairs, epochs, learn_rate, batch_size=16):
    """Add a text classifier for the labels, and train it together with the transformer."""
    examples = make_examples(nlp, pairs, sorted({label for _, label in pairs}))
    textcat = nlp.add_pipe("trf_textcat")
    textcat.initialize(lambda: examples, nlp=nlp)

    n_steps = epochs * (1 + (len(pairs) - 1) // batch_size)
    rates = warmup_linear(learn_rate, warmup_steps=n_steps // 10, total_steps=n_steps)
    optimizer = nlp.resume_training(sgd=Adam(learn_rate=rates))
    for epoch in range(epochs):
        losses = {}
        random.shuffle(examples)
        for batch in minibatch(examples, size=batch_size):
            nlp.update(batch, sgd=optimizer, drop=0.1, losses=losses)
            optimizer.step_schedules()
        print(f"epoch {epoch + 1}: loss {losses['trf_textcat']:.3f}")


def accuracy(nlp, pairs):
    """Compute how often the label with the highest score is the expected one."""
    docs = nlp.pipe(text for text, _ in pairs)
    correct = [
        max(doc.cats, key=doc.cats.get) == label
        for doc, (_, label) in zip(docs, pairs, strict=True)
    ]
    return sum(correct) / len(correct)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", nargs="?", help="JSONL file")
    parser.add_argument("test", nargs="?", help="JSONL file")
    parser.add_argument("--pipeline", default="en_trf_bert", help="a pipeline with a transformer")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learn-rate", type=float, default=2e-4)
    parser.add_argument("--output", help="folder for the trained pipeline")
    args = parser.parse_args(argv)
    if args.train and not args.test:
        parser.error("expected a second file, to test on")

    fix_random_seed(0)
    train_pairs = read_pairs(args.train) if args.train else make_pairs(400, 0, NAMES)
    test_pairs = read_pairs(args.test) if args.test else make_pairs(100, 1, HELD_OUT)
    # The separator is a setting of the pipeline, and saved with it.
    config = {"components": {"trf_wordpiecer": {"separator": SEPARATOR}}}
    nlp = spacy.load(args.pipeline, config=config)
    train(nlp, train_pairs, args.epochs, args.learn_rate)
    print(f"accuracy {accuracy(nlp, test_pairs):.1%} on {len(test_pairs)} pairs")
    if args.output:
        nlp.to_disk(args.output)
    return nlp


if __name__ == "__main__":
    main()
