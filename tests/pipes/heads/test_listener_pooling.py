"""Rows of tokens by other poolings: equal to plain torch, forward and backward."""

from __future__ import annotations

import numpy
import oracles
import pytest
import spacy
import torch
from spacy.tokens import DocBin
from spacy_heads import add_head, initialize_heads, listeners_of, predictions, randomize_heads
from thinc.api import NumpyOps
from tiny import FAMILIES, WIDTH
from token_loss import LISTENER, text_examples
from torch_oracle import PlainTransformer, assert_near, get_gradients, read

from trf_bridge import Alignment, apply_alignment
from trf_bridge.align import join_alignments, pool_links
from trf_bridge.pipes.heads.listener import Tok2VecListener

pytestmark = pytest.mark.usefixtures("fixed_seed")

TEXTS = [
    "Anna counted the boats. Robert isn't  here!",
    "",
    "state-of-the-art Straßenbahn 👍🏽",
    "A",
]
POOLED = [
    {"pooling": "mean"},
    {"pooling": "mean", "boundary": False},
    {"pooling": "first"},
    {"pooling": "last"},
    {"pooling": "sum", "boundary": False},
]
NAMES = ["mean", "mean-without", "first", "last", "own-sum"]


def pooled_rows(plain, doc, pooling):
    """Pool the rows of each token's own wordpieces in plain torch."""
    hidden = plain.hidden(doc)
    sentences = plain.sentences(doc)
    boundary = [flag for sentence in sentences for flag in sentence.boundary]
    links = oracles.align_doc(doc, sentences)
    shares = oracles.shares(links, len(hidden))
    rows = []
    for linked in links:
        own = [row for row in linked if not boundary[row]]
        if not own:
            rows.append(torch.zeros(WIDTH))
        elif pooling == "sum":
            rows.append(sum(hidden[row] / shares[row] for row in own))
        elif pooling == "mean":
            rows.append(hidden[own].mean(dim=0))
        else:
            rows.append(hidden[own[0 if pooling == "first" else -1]])
    return torch.stack(rows)


@pytest.mark.parametrize("options", POOLED, ids=NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_and_gradients_equal_torch(fresh, checkpoint, family, options):
    nlp = fresh(family)
    nlp.add_pipe("test_token_loss", config={"listener": {**LISTENER, **options}})
    plain = PlainTransformer(family, checkpoint(family))
    listener = nlp.get_pipe("test_token_loss").model.layers[0]
    docs = list(nlp.pipe(TEXTS))
    for doc, row in zip(docs, listener.predict(docs), strict=True):
        assert row.shape == (len(doc), WIDTH)
        if len(doc):
            expected = pooled_rows(plain, doc, options["pooling"])
            numpy.testing.assert_allclose(row, expected.detach().numpy(), atol=1e-5)
            loss = 0.5 * ((expected - torch.cos(torch.arange(WIDTH))) ** 2).sum()
            loss.backward()
    nlp.update(text_examples(nlp, TEXTS), sgd=False)
    assert_near(get_gradients(nlp), plain.gradients(), atol=2e-5)


@pytest.mark.parametrize("options", POOLED, ids=NAMES)
def test_gradient_is_the_transpose_in_double_precision(fresh, options):
    """Central differences in float64, over Docs with shared, missing and boundary wordpieces."""
    nlp = fresh("bert")
    random = numpy.random.default_rng(0)
    hidden, links = [], []
    for text in TEXTS:
        doc = nlp(text)
        boundary = numpy.asarray(doc._.trf_boundary, dtype="bool")
        alignment = Alignment(
            **{
                name: doc.user_data[("._.", "trf_alignment", None, None)][name]
                for name in ("rows", "lengths", "weights", "n_tokens")
            }
        )
        pooling, keep = options["pooling"], options.get("boundary", True)
        links.append(pool_links(alignment, boundary, pooling, keep_boundary=keep))
        hidden.append(random.normal(size=(len(boundary), 3)))
    joined = join_alignments(links)
    rows, backprop = apply_alignment(NumpyOps(), joined, hidden)
    d_rows = [random.normal(size=row.shape) for row in rows]
    found = backprop(d_rows)
    for doc, pieces in enumerate(hidden):
        for place in numpy.ndindex(pieces.shape):
            losses = []
            for step in (1e-4, -1e-4):
                moved = [h.copy() for h in hidden]
                moved[doc][place] += step
                pooled, _ = apply_alignment(NumpyOps(), joined, moved)
                losses.append(
                    sum(float((a * b).sum()) for a, b in zip(pooled, d_rows, strict=True))
                )
            difference = (losses[0] - losses[1]) / 2e-4
            assert found[doc][place] == pytest.approx(difference, abs=1e-7)


def test_default_is_doc_tensor(fresh):
    nlp = fresh("bert")
    nlp.add_pipe("test_token_loss")
    listener = nlp.get_pipe("test_token_loss").model.layers[0]
    docs = list(nlp.pipe(TEXTS[:1]))
    assert listener.predict(docs)[0] is docs[0].tensor


def test_joining_is_the_opposite_of_splitting(fresh):
    nlp = fresh("bert")
    nlp.add_pipe("test_token_loss", config={"listener": {**LISTENER, "pooling": "mean"}})
    listener = nlp.get_pipe("test_token_loss").model.layers[0]
    docs = list(nlp.pipe(TEXTS))
    together = listener.predict(docs)
    for doc, row in zip(docs, together, strict=True):
        numpy.testing.assert_array_equal(listener.predict([doc])[0], row)
    assert listener.predict([]) == []


@pytest.mark.filterwarnings("ignore:.*W0|.*TB102")
def test_head_with_pooling_is_saved_and_its_listener_replaced(fresh, tmp_path):
    nlp = fresh("bert")
    add_head(nlp, "tagger", {**LISTENER, "pooling": "first"})
    initialize_heads(nlp, "tagger")
    randomize_heads(nlp, "tagger")
    expected = predictions(nlp)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert listeners_of(loaded, "tagger")[0].attrs["pooling"] == "first"
    assert predictions(loaded) == expected
    loaded.replace_listeners("trf_tok2vec", "tagger", ["model.tok2vec"])
    assert predictions(loaded) == expected
    loaded.to_disk(tmp_path / "replaced")
    assert predictions(spacy.load(tmp_path / "replaced")) == expected
    by_sum = fresh("bert")
    add_head(by_sum, "tagger")
    initialize_heads(by_sum, "tagger")
    randomize_heads(by_sum, "tagger")
    assert predictions(by_sum) != expected


def test_unknown_pooling_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"TB008.*'max'.*'mean'"):
        Tok2VecListener(pooling="max")
    make = spacy.util.registry.architectures.get("trf_bridge.Tok2VecTransformer.v1")
    with pytest.raises(ValueError, match="TB008"):
        make(str(checkpoint("bert")), pooling="max")


def test_doc_with_a_tensor_alone_is_refused(fresh):
    """`DocBin` drops the outputs that a mean is computed from."""
    nlp = fresh("bert")
    add_head(nlp, "tagger", {**LISTENER, "pooling": "mean"})
    initialize_heads(nlp, "tagger")
    doc = read(nlp, TEXTS[0])
    (copied,) = DocBin(docs=[doc]).get_docs(nlp.vocab)
    copied.tensor = doc.tensor if doc.tensor.size else numpy.zeros((len(doc), WIDTH), dtype="f")
    with pytest.raises(ValueError, match=r"TB021.*no wordpieces"):
        nlp.get_pipe("tagger").predict([copied])
