"""Train a part-of-speech tagger with thinc alone, without spaCy.

python examples/make_data.py
python examples/thinc_tagger.py examples/configs/thinc_tagger.cfg
python examples/thinc_tagger.py examples/configs/thinc_tagger.cfg data.train=en_ewt-ud-train.conllu
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy
from thinc.api import (
    CategoricalCrossentropy,
    Config,
    Model,
    Optimizer,
    Softmax_v2,
    chain,
    fix_random_seed,
    registry,
    set_dropout_rate,
    with_array,
)
from thinc.types import Floats2d

from trf_bridge import Activations, TransformerModel, Wordpieces, WordpieceTokenizer
from trf_bridge.align import align, apply_alignment


@dataclass(frozen=True)
class Sentence:
    """A text, the character offsets (n_words, 2) of its words, and their tags."""

    text: str
    spans: Any
    tags: list[str]


Rows = list[Floats2d]
Tagger = Model[list[Sentence], Rows]

registry.layers("trf_bridge.TransformerModel.v1")(TransformerModel)


@registry.layers("Tagger.v1")
def make_tagger(transformer: Model[list[Wordpieces], list[Activations]]) -> Tagger:
    """Build a tagger. It returns the probability of each tag for each word (n_words, n_tags)."""
    output: Model[Rows, Rows] = with_array(Softmax_v2())
    return chain(WordRows(transformer), output)


def WordRows(transformer: Model[list[Wordpieces], list[Activations]]) -> Tagger:
    """Build a layer that returns the transformer's row of each word (n_words, width)."""
    return Model(
        "word-rows", word_rows, init=init_word_rows, layers=[transformer], dims={"nO": None}
    )


def init_word_rows(model: Tagger, X: list[Sentence] | None = None, Y: object = None) -> None:
    """Load the weights and the tokenizer of the checkpoint."""
    transformer = model.layers[0]
    transformer.initialize()
    model.set_dim("nO", transformer.get_dim("nO"))
    model.attrs["tokenizer"] = WordpieceTokenizer.from_pretrained(
        transformer.attrs["trf_name"], overflow="window", stride=64
    )


def word_rows(
    model: Tagger, sentences: list[Sentence], is_train: bool
) -> tuple[Rows, Callable[[Rows], list[Sentence]]]:
    """Run the transformer, and sum the rows of the wordpieces of each word."""
    tokenizer = model.attrs["tokenizer"]
    wordpieces = [tokenizer.encode([sentence.text]).wordpieces for sentence in sentences]
    activations, backprop_transformer = model.layers[0](wordpieces, is_train)
    links = align([s.text for s in sentences], [s.spans for s in sentences], wordpieces)
    states = [activation.last_hidden_state for activation in activations]
    rows, transpose = apply_alignment(model.ops, links, states)

    def backprop(d_rows: Rows) -> list[Sentence]:
        backprop_transformer([Activations(d_states) for d_states in transpose(d_rows)])
        return []

    return rows, backprop


def read_conllu(path: str | Path, column: int, limit: int) -> Iterator[Sentence]:
    """Read sentences. The column of the tags is counted from 1, and a limit of 0 reads all."""
    blocks = Path(path).read_text(encoding="utf8").strip().split("\n\n")
    for block in blocks[: limit or None]:
        lines = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
        words = [columns for columns in lines if columns[0].isdigit()]
        text, spans = "", []
        for columns in words:
            spans.append((len(text), len(text) + len(columns[1])))
            text += columns[1] + ("" if "SpaceAfter=No" in columns[9] else " ")
        tags = [columns[column - 1] for columns in words]
        yield Sentence(text.rstrip(), numpy.asarray(spans, dtype="int32"), tags)


def one_hot(model: Tagger, sentence: Sentence, tags: dict[str, int]) -> Floats2d:
    """Encode the tags as (n_words, n_tags). Tags that are not in the training data are zeros."""
    encoded = numpy.zeros((len(sentence.tags), len(tags)), dtype="float32")
    for row, tag in enumerate(sentence.tags):
        if tag in tags:
            encoded[row, tags[tag]] = 1.0
    return model.ops.asarray2f(cast(Floats2d, encoded))


def train_epoch(
    model: Tagger,
    optimizer: Optimizer,
    sentences: list[Sentence],
    tags: dict[str, int],
    batch_size: int,
) -> float:
    """Train on all sentences once, and return the mean loss of a word."""
    calculate_loss = CategoricalCrossentropy(normalize=False)
    loss, n_words = 0.0, 0
    random.shuffle(sentences)
    for batch in model.ops.minibatch(batch_size, sentences):
        guesses, backprop = model.begin_update(batch)
        batch_words = sum(len(sentence.tags) for sentence in batch)
        gradients = []
        for guess, sentence in zip(guesses, batch, strict=True):
            gradient, sentence_loss = calculate_loss(guess, one_hot(model, sentence, tags))
            gradients.append(gradient / batch_words)
            loss += float(sentence_loss)
        backprop(gradients)
        model.finish_update(optimizer)
        optimizer.step_schedules()
        n_words += batch_words
    return loss / n_words


def accuracy(model: Tagger, sentences: list[Sentence], tags: dict[str, int]) -> float:
    """Compute the share of words with the right tag."""
    names = list(tags)
    correct = total = 0
    for batch in model.ops.minibatch(128, sentences):
        for guess, sentence in zip(model.predict(batch), batch, strict=True):
            guessed = [names[i] for i in guess.argmax(axis=1).tolist()]
            correct += sum(g == tag for g, tag in zip(guessed, sentence.tags, strict=True))
            total += len(sentence.tags)
    return correct / total


def parse(value: str) -> Any:
    """Parse the value of a setting: a number, true, false, or else a string."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def main(argv: list[str] | None = None) -> Tagger:
    """Train the tagger of a config, and return it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", help="section.field=value")
    args = parser.parse_args(argv)
    overrides = dict(setting.split("=", 1) for setting in args.overrides)
    values = {field: parse(value) for field, value in overrides.items()}
    config = Config().from_disk(args.config, overrides=values)
    settings = config["training"]
    fix_random_seed(settings["seed"])
    resolved = registry.resolve({name: config[name] for name in ("model", "optimizer")})
    model: Tagger = resolved["model"]

    data = config["data"]
    train, dev = (
        list(read_conllu(data[part], data["column"], data["limit"])) for part in ("train", "dev")
    )
    names = sorted({tag for sentence in train for tag in sentence.tags})
    tags = {tag: i for i, tag in enumerate(names)}
    sample = train[:8]
    model.initialize(X=sample, Y=[one_hot(model, sentence, tags) for sentence in sample])
    set_dropout_rate(model, settings["dropout"])
    for epoch in range(settings["epochs"]):
        loss = train_epoch(model, resolved["optimizer"], train, tags, settings["batch_size"])
        print(f"epoch {epoch + 1}: loss {loss:.3f}, accuracy {accuracy(model, dev, tags):.2%}")
    return model


if __name__ == "__main__":
    main()
