"""Convert data for the configs in examples/configs from formats that `spacy convert` lacks.

python examples/convert_data.py cats train.jsonl train.spacy
python examples/convert_data.py ents train.jsonl train.spacy
python examples/convert_data.py snips train_AddToPlaylist_full.json ... train.spacy
python examples/convert_data.py mentions annotated.jsonl entities.csv folder

cats      lines {"text": ..., "cats": {...}} or {"text": ..., "label": ...}, for textcat.cfg and
          textcat_multilabel.cfg
ents      lines {"text": ..., "spans": [{"start": ..., "end": ..., "label": ...}]}, with characters,
          for ner.cfg; an entity that starts or ends within a token is extended to the whole token
snips     utterances of the Snips benchmark, split into parts, for intent.cfg and textcat.cfg
mentions  lines of Prodigy with an entity chosen for a span, for entity_linker.cfg; writes
          train.spacy, dev.spacy, kb and patterns.json to the folder

For CoNLL-U, and for columns of words and IOB tags, use `python -m spacy convert`.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import srsly
from make_data import write_knowledge
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.util import filter_spans


def read_cats(nlp: Language, path: str | Path) -> Iterator[Doc]:
    """Read texts with a score for each label, or with one label."""
    lines = list(srsly.read_jsonl(path))
    labels = {line["label"] for line in lines if "label" in line}
    for line in lines:
        doc = nlp.make_doc(line["text"])
        doc.cats = line.get("cats") or {label: float(label == line["label"]) for label in labels}
        yield doc


def read_ents(nlp: Language, path: str | Path) -> Iterator[Doc]:
    """Read texts with named entities. Of entities that overlap, the longer one is used."""
    for line in srsly.read_jsonl(path):
        doc = nlp.make_doc(line["text"])
        spans = [
            doc.char_span(span["start"], span["end"], span["label"], alignment_mode="expand")
            for span in line["spans"]
        ]
        doc.ents = filter_spans([span for span in spans if span is not None])
        yield doc


def read_snips(nlp: Language, paths: list[Path]) -> Iterator[Doc]:
    """Read utterances, with the intent as category and the slots as a tree.

    The root is the first token outside of all slots. The first token of a slot depends on the root
    and has the name of the slot as its label. The other tokens of the slot depend on the first.
    """
    utterances = [
        (intent, utterance["data"])
        for path in paths
        for intent, listed in json.loads(decode(path)).items()
        for utterance in listed
    ]
    intents = sorted({intent for intent, _ in utterances})
    for intent, parts in utterances:
        text, spans = "", []
        for part in parts:
            spans.append((len(text), len(text) + len(part["text"]), part.get("entity")))
            text += part["text"]
        doc = nlp.make_doc(text)
        slots = [
            (span, slot)
            for start, end, slot in spans
            if slot and (span := doc.char_span(start, end, alignment_mode="expand"))
        ]
        outside = set(range(len(doc))) - {token.i for span, _ in slots for token in span}
        if not outside:
            continue
        root = min(outside)
        heads, deps = [root] * len(doc), ["-"] * len(doc)
        deps[root] = "ROOT"
        for span, slot in slots:
            for token in span:
                heads[token.i] = root if token.i == span.start else span.start
                deps[token.i] = slot.upper()
        spaces = [bool(token.whitespace_) for token in doc]
        words = [token.text for token in doc]
        tree = Doc(nlp.vocab, words=words, spaces=spaces, heads=heads, deps=deps)
        tree.cats = {other: float(other == intent) for other in intents}
        yield tree


def decode(path: Path) -> str:
    """Read a file. The older files of the benchmark are in Latin-1."""
    try:
        return path.read_text(encoding="utf8")
    except UnicodeDecodeError:
        return path.read_text(encoding="latin-1")


def read_mentions(nlp: Language, path: Path) -> Iterator[Doc]:
    """Read texts with one name and its entity."""
    for line in srsly.read_jsonl(path):
        if line["answer"] == "accept" and len(line["accept"]) == 1:
            doc, span = nlp.make_doc(line["text"]), line["spans"][0]
            name = doc.char_span(span["start"], span["end"], "NAME", line["accept"][0])
            if name is not None and not line["accept"][0].startswith("NIL"):
                doc.ents = [name]
                yield doc


def convert_mentions(nlp: Language, args: argparse.Namespace) -> int:
    """Write the data, the knowledge base and the patterns. Return the number of texts."""
    *_, annotated, entities = args.inputs
    folder: Path = args.output
    folder.mkdir(parents=True, exist_ok=True)
    docs = list(read_mentions(nlp, annotated))
    random.Random(0).shuffle(docs)
    n_dev = len(docs) // 5
    DocBin(docs=docs[n_dev:]).to_disk(folder / "train.spacy")
    DocBin(docs=docs[:n_dev]).to_disk(folder / "dev.spacy")
    with entities.open(encoding="utf8", newline="") as file:
        described = {row[0]: f"{row[1]}, {row[2]}" for row in csv.reader(file)}
    names: dict[str, Any] = {}
    for doc in docs:
        names.setdefault(doc.ents[0].text, set()).add(doc.ents[0].kb_id_)
    write_knowledge(args.pipeline, folder, described, names)
    return len(docs)


def main(argv: list[str] | None = None) -> None:
    """Convert the files of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["cats", "ents", "snips", "mentions"])
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("output", type=Path)
    parser.add_argument("--lang", default="en")
    parser.add_argument(
        "--pipeline", default="en_trf_bert", help="computes the vectors of entities"
    )
    args = parser.parse_args(argv)
    nlp = spacy.blank(args.lang)
    if args.kind == "mentions":
        n = convert_mentions(nlp, args)
    else:
        read_lines = read_ents if args.kind == "ents" else read_cats
        docs = (
            read_snips(nlp, args.inputs)
            if args.kind == "snips"
            else (doc for path in args.inputs for doc in read_lines(nlp, path))
        )
        docs = list(docs)
        n = len(docs)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        DocBin(docs=docs).to_disk(args.output)
    print(f"{n} {args.output}")


if __name__ == "__main__":
    main()
