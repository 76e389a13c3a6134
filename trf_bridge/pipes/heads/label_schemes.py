"""Labels of tokens, such as "B-PER" and "I-PER", to entities and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from spacy.util import filter_spans

from ... import errors

OUTSIDE = "O"
# Scheme -> the prefixes of its labels. In IOB1 a "B-" only separates neighbours of one type.
PREFIXES = {"iob1": "BI", "iob2": "BI", "bilou": "BILU", "bioes": "BIES", "none": ""}
SCHEMES = ("auto", *PREFIXES)
# spaCy's prefix of a token -> that of a scheme, where it is another one.
FROM_BILUO = {
    "iob1": {"B": "I", "L": "I", "U": "I"},
    "iob2": {"L": "I", "U": "B"},
    "bioes": {"L": "E", "U": "S"},
}


class Entity(NamedTuple):
    """Tokens that form an entity.

    start, end (int): First and last token (exclusive).
    kind (str): Its type.
    tokens (list of int): Its tokens, without white space.
    """

    start: int
    end: int
    kind: str
    tokens: list[int]


def find_scheme(labels: Iterable[str], scheme: str, name: str) -> str:
    """Find the scheme of labels.

    labels (iterable of str): The labels of a head.
    scheme (str): One of SCHEMES.
    name (str): Name of the component, for the error.
    RETURNS (str): A key of PREFIXES.
    RAISES (ValueError): TB061 if no scheme, or not the given one, explains the labels.
    """
    labels = set(labels)
    prefixes = {_split(label)[0] for label in labels - {OUTSIDE}}
    fitting = [key for key, of_scheme in PREFIXES.items() if prefixes <= set(of_scheme or " ")]
    if scheme != "auto":
        fitting = [scheme] if scheme in fitting else []
    elif "B" in prefixes:
        fitting = [key for key in fitting if key != "iob1"]
    if fitting and prefixes and OUTSIDE in labels:
        return fitting[0]
    shown = ", ".join(sorted(labels)[:10])
    raise ValueError(errors.TB061.format(name=name, got=shown, scheme=scheme))


def make_labels(kinds: Iterable[str], scheme: str) -> list[str]:
    """Build the labels of a new head.

    kinds (iterable of str): Types of entities.
    scheme (str): One of SCHEMES; "iob2" in place of "auto".
    RETURNS (list of str): The labels, "O" first.
    """
    prefixes = PREFIXES["iob2" if scheme == "auto" else scheme]
    marked = [f"{prefix}-{kind}" for kind in kinds for prefix in prefixes]
    return [OUTSIDE, *(marked or kinds)]


def find_entities(labels: Sequence[str | None], inputs: Sequence[int], scheme: str) -> list[Entity]:
    """Find the entities that labels describe.

    A label that continues nothing starts an entity, as in transformers' pipeline.

    labels (sequence of str, (n_tokens,)): The labels; None for white space, which is passed over.
    inputs (sequence of int, (n_tokens,)): The text that each token was read in. Entities end where
        it ends.
    scheme (str): A key of PREFIXES.
    RETURNS (list of Entity): The entities, in order.
    """
    entities: list[Entity] = []
    is_open = False
    for i, label in enumerate(labels):
        if label is None:
            continue
        if label == OUTSIDE:
            is_open = False
            continue
        prefix, kind = (" ", label) if scheme == "none" else _split(label)
        last = entities[-1] if is_open else None
        same = last is not None and (last.kind, inputs[last.start]) == (kind, inputs[i])
        if last is not None and same and prefix not in "BSU":
            entities[-1] = last._replace(end=i + 1, tokens=[*last.tokens, i])
        else:
            entities.append(Entity(i, i + 1, kind, [i]))
        is_open = prefix not in "ELSU"
    return entities


def encode_entities(tags: Iterable[str | None], scheme: str) -> list[str | None]:
    """Convert spaCy's entity tags to the labels of a scheme.

    tags (iterable of str): Tags such as "U-PER"; None or "-" where nothing is annotated.
    scheme (str): A key of PREFIXES.
    RETURNS (list of str): The labels; None where nothing is annotated.
    """
    labels: list[str | None] = []
    before = ""
    for tag in tags:
        prefix, _, kind = (tag or "").partition("-")
        if not kind:
            labels.append(OUTSIDE if prefix == OUTSIDE else None)
        elif scheme == "none":
            labels.append(kind)
        else:
            mapped = FROM_BILUO.get(scheme, {}).get(prefix, prefix)
            # In IOB1, only an entity right after one of the same type starts with "B-".
            if scheme == "iob1" and prefix in "BU" and before == kind:
                mapped = "B"
            labels.append(f"{mapped}-{kind}")
        before = kind
    return labels


def tags_of_spans(n_tokens: int, spans: Iterable[Any]) -> list[str]:
    """Build spaCy's entity tags for spans, of which the longest are used where they overlap.

    n_tokens (int): Number of tokens of the Doc.
    spans (iterable of Span): The spans.
    RETURNS (list of str, (n_tokens,)): Tags such as "U-PER".
    """
    tags = [OUTSIDE] * n_tokens
    for span in filter_spans(spans):
        middle = ["I"] * (len(span) - 2)
        prefixes = ["U"] if len(span) == 1 else ["B", *middle, "L"]
        tags[span.start : span.end] = [f"{prefix}-{span.label_}" for prefix in prefixes]
    return tags


def kind_of(label: str, scheme: str) -> str:
    """Return the type in a label, such as "PER" in "B-PER".

    label (str): The label.
    scheme (str): A key of PREFIXES.
    RETURNS (str): The type; the label itself if the scheme has no prefixes.
    """
    return label if scheme == "none" else _split(label)[1]


def _split(label: str) -> tuple[str, str]:
    """Split a label into prefix and type; a space for a label without a prefix."""
    return (label[0], label[2:]) if label[1:2] == "-" and label[0] in "BIELSU" else (" ", label)
