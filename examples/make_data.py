"""Generate small data for the configs in examples/configs, the same data every time.

python examples/make_data.py --pipeline en_trf_bert

The sentences come from templates. The development data contain some words that the training data
lack. They show the format and make each config run, and are not a benchmark.
"""

from __future__ import annotations

import argparse
import random
import string
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import spacy
import srsly
from spacy.kb import InMemoryLookupKB
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

FOLDER = Path(__file__).parent / "data"

# The last two of each list are used in the development data only.
FILLERS = {
    "person": "Ada Winter|Tom Okafor|Mira Lindqvist|Jonas|Priya Raman|Carla Reyes|Ivo|Nadia Stern",
    "org": "Northwind|Delta Foods|Hallam Bank|Orbit Labs|Tessel|Granite Media|Vireo|Kestrel Motors",
    "gpe": "Lisbon|Oslo|New Orleans|Kyoto|Peru|Ghana|Porto Alegre|Vienna",
    "date": "Monday|Tuesday|last Friday|next Sunday|in March|in 2019|on Thursday|yesterday",
    "noun": "report|letter|bridge|piano|map|recipe|lamp|ticket",
    "adjective": "old|bright|heavy|cheap|strange|new|quiet|famous",
    "product": "lamp|blue jacket|coffee machine|desk|headset|tent|bicycle pump|toaster",
    "dish": "soup|lasagne|curry|salad|ramen|fish cakes|dumplings|stew",
    "card": "credit card|bank card|voucher|gift card|debit card|PayPal account|coupon|invoice",
    "place": "cafe|restaurant|library|gym|cinema|bakery|museum|hotel",
    "quality": "good|fast|cheap|free|quiet|fresh|great|large",
    "attribute": "wifi|coffee|parking|seats|bread|music|service|rooms",
    "near": "the station|downtown|Lisbon|the river|the harbour|Oslo|the old town|the airport",
    "time": "tonight|tomorrow|at six|on Sunday|this evening|at noon|after work|next week",
    "artist": "Miles Ferry|The Quiet Hours|Anna Bloom|Paper Lions|Sol|Blue Harbour|Nova|The Elms",
    "genre": "jazz|folk|techno|soul|blues|opera|reggae|swing",
}
N_HELD_OUT = 2

# label -> texts
REQUESTS = {
    "delivery": [
        "Where is my parcel with the {product}?",
        "The courier never came with the {product}.",
        "My {product} was sent to the wrong street.",
        "How long does shipping take for a {product}?",
    ],
    "payment": [
        "My {card} was refused at the checkout.",
        "I was charged twice for the {product}.",
        "Can I pay for the {product} with my {card}?",
        "Please refund the money to my {card}.",
    ],
    "account": [
        "I forgot my password again.",
        "How do I change the email address of my profile?",
        "{person} cannot log in any more.",
        "Please delete the profile of {person}.",
    ],
    "product": [
        "The {product} broke after two days.",
        "Does the {product} come with a manual?",
        "The switch of my {product} is loose.",
        "Which {product} is the lightest?",
    ],
}
# topic -> sentences; a review has several topics
REVIEWS = {
    "FOOD": [
        "What a delicious {dish}!",
        "My {dish} tasted of nothing.",
        "We loved the {dish}.",
    ],
    "SERVICE": [
        "The waiter was rude to {person}.",
        "They smiled and helped us at once.",
        "Nobody came to our table for an hour.",
    ],
    "PRICE": [
        "It costs far too much.",
        "You get a lot for your money.",
        "The bill was a shock.",
    ],
    "NOISE": [
        "We could hardly hear each other.",
        "It was so loud that {person} left.",
        "A calm and silent corner of {gpe}.",
    ],
}

# Tokens as text|head|label|tag. Heads count from 1, and 0 is the root. The other tokens of a filler
# depend on its last one.
NEWS = [
    "{person}|2|nsubj|NNP visited|0|ROOT|VBD {gpe}|2|obj|NNP {date}|2|obl|NNP .|2|punct|.",
    "{org}|2|nsubj|NNP hired|0|ROOT|VBD {person}|2|obj|NNP in|5|case|IN {gpe}|2|obl|NNP "
    ".|2|punct|.",
    "The|3|det|DT {adjective}|3|amod|JJ {noun}|5|nsubj:pass|NN was|5|aux|VBD sold|0|ROOT|VBN "
    "to|7|case|IN {org}|5|obl|NNP .|5|punct|.",
    "{person}|2|nsubj|NNP wrote|0|ROOT|VBD a|5|det|DT {adjective}|5|amod|JJ {noun}|2|obj|NN "
    "for|7|case|IN {org}|2|obl|NNP .|2|punct|.",
    "Did|3|aux|VBD {person}|3|nsubj|NNP leave|0|ROOT|VB {org}|3|obj|NNP {date}|3|obl|NNP "
    "?|3|punct|.",
    "A|2|det|DT {noun}|4|nsubj:pass|NN was|4|aux|VBD found|0|ROOT|VBN near|6|case|IN "
    "{gpe}|4|obl|NNP .|4|punct|.",
    "{org}|3|nsubj|NNP will|3|aux|MD open|0|ROOT|VB an|5|det|DT office|3|obj|NN in|7|case|IN "
    "{gpe}|5|nmod|NNP .|3|punct|.",
    "She|2|nsubj|PRP gave|0|ROOT|VBD {person}|2|iobj|NNP the|6|det|DT {adjective}|6|amod|JJ "
    "{noun}|2|obj|NN {date}|2|obl|NNP .|2|punct|.",
]
ENTITIES = {"person": "PERSON", "org": "ORG", "gpe": "GPE", "date": "DATE"}

# intent -> utterances as trees of their meaning; words without meaning have the label "-"
INTENTS = {
    "find_place": [
        "find|0|ROOT a|3|- {place}|1|PLACE with|6|- {quality}|6|QUALITY {attribute}|3|ATTRIBUTE",
        "show|0|ROOT me|1|- the|4|- {place}|1|PLACE near|6|- {near}|4|LOCATION",
        "is|0|ROOT there|1|- a|5|- {quality}|5|QUALITY {place}|1|PLACE near|7|- {near}|5|LOCATION",
        "where|0|ROOT is|1|- a|4|- {place}|1|PLACE open|4|- {time}|4|TIME",
    ],
    "book_table": [
        "book|0|ROOT a|3|- table|1|- in|6|- a|6|- {place}|1|PLACE for|8|- {time}|1|TIME",
        "reserve|0|ROOT two|3|- seats|1|- {time}|1|TIME at|7|- the|7|- {place}|1|PLACE near|9|- "
        "{near}|7|LOCATION",
        "we|2|- need|0|ROOT a|4|- table|2|- {time}|2|TIME",
    ],
    "play_music": [
        "play|0|ROOT some|3|- {genre}|1|GENRE by|5|- {artist}|3|ARTIST",
        "put|0|ROOT on|1|- {artist}|1|ARTIST please|1|-",
        "i|2|- want|0|ROOT to|4|- hear|2|- {quality}|6|QUALITY {genre}|2|GENRE {time}|2|TIME",
    ],
}

# entity -> name (shared with other entities), description, texts
MENTIONS = {
    "mercury_planet": (
        "Mercury",
        "the planet closest to the sun",
        ["Mercury circles the sun in {days} days.", "The probe reached Mercury and its craters."],
    ),
    "mercury_metal": (
        "Mercury",
        "a liquid and poisonous metal, used in thermometers",
        ["Mercury leaked from the thermometer.", "The river is polluted: {days} grams of Mercury."],
    ),
    "phoenix_city": (
        "Phoenix",
        "a hot city in Arizona with a large airport",
        ["We landed in Phoenix after {days} hours.", "The suburbs of Phoenix grow every year."],
    ),
    "phoenix_bird": (
        "Phoenix",
        "a bird of myth that burns and rises from its ashes",
        ["The Phoenix spread its burning wings.", "After {days} years the Phoenix rose."],
    ),
    "java_island": (
        "Java",
        "an island of Indonesia with volcanoes and rice fields",
        ["The volcano on Java erupted {days} times.", "Farmers in Java planted rice."],
    ),
    "java_language": (
        "Java",
        "a programming language that runs on a virtual machine",
        ["She wrote the server in Java.", "The Java compiler printed {days} errors."],
    ),
}


def fill(rng: random.Random, template: str, held_out: bool) -> str:
    """Replace the {slots} of a template by words."""
    slots = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    return template.format(**{slot: choose(rng, slot, held_out) for slot in slots})


def choose(rng: random.Random, slot: str, held_out: bool) -> str:
    if slot == "days":
        return str(rng.randint(20, 999))
    fillers = FILLERS[slot].split("|")
    return rng.choice(fillers if held_out else fillers[:-N_HELD_OUT])


def make_tree(nlp: Language, rng: random.Random, template: str, held_out: bool) -> Doc:
    """Create a Doc with heads, labels, tags and entities."""
    words: list[str] = []
    last = []  # the last word of each token of the template
    rows = [token.split("|") for token in template.split()]
    entities = []
    for text, *_ in rows:
        slot = text.strip("{}")
        own = (choose(rng, slot, held_out) if text.startswith("{") else text).split()
        if slot in ENTITIES:
            entities.append((len(words), len(words) + len(own), ENTITIES[slot]))
        words.extend(own)
        last.append(len(words) - 1)
    heads, deps, tags = [], [], []
    for (_, head, dep, *tag), end in zip(rows, last, strict=True):
        n_before = end - len(heads)
        own_head = end if head == "0" else last[int(head) - 1]
        heads += [end] * n_before + [own_head]
        deps += ["compound" if tag else dep] * n_before + [dep]
        tags += (tag or [""]) * (n_before + 1)
    spaces = [word not in ".?" for word in [*words[1:], "."]]
    has_tags = {"tags": tags} if any(tags) else {}
    doc = Doc(nlp.vocab, words=words, spaces=spaces, heads=heads, deps=deps, **has_tags)
    doc.ents = [Span(doc, start, end, label=label) for start, end, label in entities]
    return doc


def make_requests(nlp: Language, rng: random.Random, n: int, held_out: bool) -> Iterator[Doc]:
    """Generate texts with one of several labels."""
    for i in range(n):
        label = list(REQUESTS)[i % len(REQUESTS)]
        doc = nlp.make_doc(fill(rng, rng.choice(REQUESTS[label]), held_out))
        doc.cats = {other: float(other == label) for other in REQUESTS}
        yield doc


def make_reviews(nlp: Language, rng: random.Random, n: int, held_out: bool) -> Iterator[Doc]:
    """Generate texts with any number of labels."""
    for _ in range(n):
        topics = rng.sample(list(REVIEWS), rng.randint(1, 3))
        doc = nlp.make_doc(" ".join(fill(rng, rng.choice(REVIEWS[t]), held_out) for t in topics))
        doc.cats = {topic: float(topic in topics) for topic in REVIEWS}
        yield doc


def make_news(nlp: Language, rng: random.Random, n: int, held_out: bool) -> Iterator[Doc]:
    """Generate Docs of two sentences, with tags, dependency trees and entities."""
    for _ in range(n):
        yield Doc.from_docs([make_tree(nlp, rng, rng.choice(NEWS), held_out) for _ in range(2)])


def make_intents(nlp: Language, rng: random.Random, n: int, held_out: bool) -> Iterator[Doc]:
    """Generate utterances with an intent, and a tree of the meaning of their parts."""
    for i in range(n):
        intent = list(INTENTS)[i % len(INTENTS)]
        doc = make_tree(nlp, rng, rng.choice(INTENTS[intent]), held_out)
        doc.cats = {other: float(other == intent) for other in INTENTS}
        yield doc


def make_mentions(nlp: Language, rng: random.Random, n: int, held_out: bool) -> Iterator[Doc]:
    """Generate Docs with a name of one of several entities."""
    for i in range(n):
        entity = list(MENTIONS)[i % len(MENTIONS)]
        name, _, templates = MENTIONS[entity]
        doc = nlp.make_doc(fill(rng, rng.choice(templates), held_out))
        start = next(token.i for token in doc if token.text == name)
        doc.ents = [Span(doc, start, start + 1, label="NAME", kb_id=entity)]
        yield doc


def write_knowledge(
    pipeline: str, folder: Path, described: dict[str, str], names: dict[str, set[str]]
) -> None:
    """Write a knowledge base, and patterns for its names.

    The vector of an entity is the vector of its description.
    """
    patterns = [{"label": "NAME", "pattern": name} for name in sorted(names)]
    srsly.write_json(folder / "patterns.json", patterns)
    nlp = spacy.load(pipeline)
    vectors = {entity: nlp(text).vector for entity, text in described.items()}
    width = len(next(iter(vectors.values())))
    kb = InMemoryLookupKB(nlp.vocab, entity_vector_length=width)
    for entity, vector in vectors.items():
        kb.add_entity(entity, freq=1, entity_vector=vector)
    for name, entities in names.items():
        kb.add_alias(name, sorted(entities), [1 / len(entities)] * len(entities))
    kb.to_disk(folder / "kb")


def write_conllu(docs: Iterable[Doc], path: Path) -> None:
    """Write tags and trees as CoNLL-U, for the example without spaCy."""
    lines = []
    for sentence in (sentence for doc in docs for sentence in doc.sents):
        lines.append(f"# text = {sentence.text}")
        for i, token in enumerate(sentence, start=1):
            head = 0 if token.head is token else token.head.i - sentence.start + 1
            space = "_" if token.whitespace_ or i == len(sentence) else "SpaceAfter=No"
            columns = [i, token, "_", "_", token.tag_, "_", head, token.dep_, "_", space]
            lines.append("\t".join(map(str, columns)))
        lines.append("")
    path.write_text("\n".join(lines) + "\n", encoding="utf8")


TASKS: dict[str, tuple[Callable[..., Iterator[Doc]], int, int]] = {
    "textcat": (make_requests, 120, 60),
    "textcat_multilabel": (make_reviews, 120, 60),
    "news": (make_news, 120, 40),
    "intent": (make_intents, 180, 60),
    "entity_linker": (make_mentions, 90, 42),
}


def main(argv: list[str] | None = None) -> None:
    """Write all data into one folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER, help="output folder")
    parser.add_argument(
        "--pipeline", default="en_trf_bert", help="computes the vectors of entities"
    )
    args = parser.parse_args(argv)
    nlp = spacy.blank("en")
    for seed, (task, (make, n_train, n_dev)) in enumerate(TASKS.items()):
        folder = args.output / task
        folder.mkdir(parents=True, exist_ok=True)
        for name, n, held_out in [("train", n_train, False), ("dev", n_dev, True)]:
            docs = list(make(nlp, random.Random(f"{seed} {name}"), n, held_out))
            DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
            if task == "news":
                write_conllu(docs, folder / f"{name}.conllu")
            print(f"{n:4} {folder / name}.spacy")
    described = {entity: text for entity, (_, text, _) in MENTIONS.items()}
    names: dict[str, set[str]] = {}
    for entity, (name, _, _) in MENTIONS.items():
        names.setdefault(name, set()).add(entity)
    write_knowledge(args.pipeline, args.output / "entity_linker", described, names)


if __name__ == "__main__":
    main()
