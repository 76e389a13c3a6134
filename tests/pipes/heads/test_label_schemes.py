"""Schemes of labels: found, read and written as spaCy's own functions do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.training import biluo_to_iob, tags_to_entities

from trf_bridge.pipes.heads.label_schemes import (
    PREFIXES,
    encode_entities,
    find_entities,
    find_scheme,
    make_labels,
)

KINDS = ("PER", "LOC", "B-CELL")  # a type can look like a prefix


@st.composite
def biluo(draw):
    """Draw spaCy's tags of a few entities."""
    tags = []
    for _ in range(draw(st.integers(0, 6))):
        kind, length = draw(st.sampled_from(KINDS)), draw(st.integers(0, 3))
        if not length:
            tags.append("O")
        elif length == 1:
            tags.append(f"U-{kind}")
        else:
            tags += [f"B-{kind}", *[f"I-{kind}"] * (length - 2), f"L-{kind}"]
    return tags


def bounds(labels, scheme, inputs=None):
    found = find_entities(labels, inputs or [0] * len(labels), scheme)
    return [(entity.kind, entity.start, entity.end) for entity in found]


@given(biluo())
@pytest.mark.parametrize("scheme", [scheme for scheme in PREFIXES if scheme != "none"])
def test_every_scheme_describes_the_same_entities(scheme, tags):
    labels = encode_entities(tags, scheme)
    expected = [(kind, start, end + 1) for kind, start, end in tags_to_entities(tags)]
    assert bounds(labels, scheme) == expected
    known = make_labels(KINDS, scheme)
    assert set(labels) <= set(known)


@given(biluo())
def test_iob2_equals_spacys(tags):
    assert encode_entities(tags, "iob2") == biluo_to_iob(tags)
    assert encode_entities(tags, "bilou") == tags


def test_iob1_separates_neighbours_of_one_type_only():
    tags = ["U-PER", "U-PER", "U-LOC", "O", "B-PER", "L-PER"]
    labels = ["I-PER", "B-PER", "I-LOC", "O", "I-PER", "I-PER"]
    assert encode_entities(tags, "iob1") == labels
    assert bounds(labels, "iob1") == [("PER", 0, 1), ("PER", 1, 2), ("LOC", 2, 3), ("PER", 4, 6)]


def test_types_alone_are_joined():
    assert encode_entities(["B-PER", "L-PER", "O", "U-LOC"], "none") == ["PER", "PER", "O", "LOC"]
    assert bounds(["PER", "PER", "LOC", "O"], "none") == [("PER", 0, 2), ("LOC", 2, 3)]


def test_white_space_is_inside_and_inputs_are_limits():
    labels = ["B-PER", None, "I-PER", "I-PER", None]
    assert bounds(labels, "iob2") == [("PER", 0, 4)]
    assert bounds(labels, "iob2", [0, -1, 0, 1, -1]) == [("PER", 0, 3), ("PER", 3, 4)]


def test_missing_annotation_remains_missing():
    assert encode_entities([None, "-", "", "O", "U-PER"], "iob2") == [
        *[None, None, None],
        *["O", "B-PER"],
    ]


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "B-PER", "I-PER"], "iob2"),
        (["O", "I-PER", "I-LOC"], "iob1"),
        (["O", "B-PER", "I-PER", "L-PER", "U-PER"], "bilou"),
        (["S-PER", "O", "B-PER", "I-PER", "E-PER"], "bioes"),
        (["O", "PER", "LOC"], "none"),
    ],
)
def test_scheme_is_found(labels, scheme):
    assert find_scheme(labels, "auto", "ner") == scheme
    assert find_scheme(labels, scheme, "ner") == scheme


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "B-PER", "LOC"], "auto"),
        (["O", "B-PER", "L-PER", "E-PER"], "auto"),
        (["NOUN", "VERB"], "auto"),
        (["B-PER", "I-PER"], "auto"),
        (["O"], "auto"),
        (["O", "PER"], "iob2"),
        (["O", "B-PER", "I-PER"], "none"),
    ],
)
def test_labels_that_no_scheme_explains_are_an_error(labels, scheme):
    with pytest.raises(ValueError, match=rf"^\[TB061\] .*'ner'.*'{scheme}'.*{labels[-1]}.*tags"):
        find_scheme(labels, scheme, "ner")
