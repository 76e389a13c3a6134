"""Trained pipelines of spacy-transformers: the converted pipeline predicts what its heads predict
from the rows of plain transformers, pooled by hand."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import oracles
import pytest
import spacy
import srsly
import torch
from foreign_pipelines import (
    HEADS,
    build_heads,
    given_rows,
    model_bytes,
    replace_listeners,
    save_foreign,
    shim_of,
    their_own_transformer,
    their_rows,
    torch_bytes,
    use_own_transformer,
)
from spacy.util import load_config
from spacy_heads import annotated_examples
from thinc.api import Config
from torch_oracle import assert_moved, assert_same, make_adam, module_weights

from trf_bridge.conversion.trained import convert_pipeline

pytestmark = [
    pytest.mark.usefixtures("fixed_seed"),
    pytest.mark.filterwarnings("ignore:.*W0|.*TB102"),
]

TEXTS = [
    "Anna counted the boats. Robert is here!",
    "",
    "Anna counted the state-of-the-art boats, but Robert isn't here today. Bake it.",
    "A",
]


def build(fresh, names=HEADS, family="bert"):
    """Build heads without a component for sentence boundaries."""
    nlp = fresh(family)
    nlp.remove_pipe("sentencizer")
    build_heads(nlp, names)
    return nlp


@pytest.fixture
def tagger(fresh, checkpoint, tmp_path):
    """Save a pipeline of spacy-transformers with a tagger and return its folder."""
    return save_foreign(build(fresh, ["tagger"]), checkpoint("bert"), tmp_path / "theirs")


def describe(doc):
    """Return what was predicted, and the scores of the categories."""
    record = doc.to_json()
    return record, record.pop("cats", {})


def assert_equal_predictions(nlp, expected):
    """Compare annotations exactly, and categories to 1e-5."""
    for text, (record, cats) in zip(TEXTS, expected, strict=True):
        found, scores = describe(nlp(text))
        assert found == record
        assert scores == pytest.approx(cats, abs=1e-5)


def predict_by_hand(nlp, family, folder, pooling):
    """Predict with the heads of a pipeline, from rows of plain transformers."""
    model = oracles.load_plain(family, folder)
    rows = their_rows(model, oracles.load_plain_tokenizer(folder), pooling)
    replace_listeners(nlp, lambda: given_rows(rows))
    expected = []
    for text in TEXTS:
        doc = nlp.make_doc(text)
        for name in nlp.pipe_names:
            if not name.startswith("trf_"):
                doc = nlp.get_pipe(name)(doc)
        expected.append(describe(doc))
    return expected


@pytest.mark.parametrize(
    ("family", "pooling"),
    [("bert", "mean"), ("bert", "first"), ("bert", "last"), ("gpt2", "mean")],
)
def test_converted_pipeline_predicts_the_same(fresh, checkpoint, tmp_path, family, pooling):
    """The wordpieces of GPT-2 contain the space before a word."""
    folder, theirs = checkpoint(family), tmp_path / "theirs"
    expected = predict_by_hand(build(fresh, HEADS, family), family, folder, pooling)
    nlp = build(fresh, HEADS, family)
    save_foreign(nlp, folder, theirs, pooling=pooling, family=family)
    before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    rows = convert_pipeline(theirs, tmp_path / "ours")
    assert {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()} == before
    nlp = spacy.load(tmp_path / "ours")
    assert_equal_predictions(nlp, expected)
    assert any(doc["tokens"] and doc["tokens"][0].get("tag") for doc, _ in expected)
    kept = {row.where for row in rows if row.what == "weights"}
    assert kept == {f"components.{name}" for name in ["transformer", *HEADS]}
    transformer = nlp.get_pipe("transformer")
    plain = oracles.load_plain(family, folder)
    assert_same(module_weights(transformer.model.shims[0]._model), module_weights(plain))
    assert str(tmp_path) not in nlp.config.to_str()


def test_converted_pipeline_trains_on(fresh, checkpoint, tmp_path):
    save_foreign(build(fresh), checkpoint("bert"), tmp_path / "theirs")
    convert_pipeline(tmp_path / "theirs", tmp_path / "ours")
    nlp = spacy.load(tmp_path / "ours")
    before = get_module_weights(nlp)
    nlp.update(annotated_examples(nlp), sgd=make_adam())
    assert_moved(get_module_weights(nlp), before, 1e-4)
    nlp.to_disk(tmp_path / "again")
    again = spacy.load(tmp_path / "again")
    assert describe(again(TEXTS[2])) == describe(nlp(TEXTS[2]))


def get_module_weights(nlp):
    return module_weights(nlp.get_pipe("transformer").model.shims[0]._model)


def test_components_without_a_listener_are_kept(fresh, checkpoint, tmp_path):
    nlp = build(fresh, ["tagger"])
    nlp.add_pipe("sentencizer", first=True)
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "THING", "pattern": "boats"}])
    nlp.meta["requirements"] = ["spacy-transformers>=1.2.2,<1.5.0", "other>=1"]
    save_foreign(nlp, checkpoint("bert"), tmp_path / "theirs")
    convert_pipeline(tmp_path / "theirs", tmp_path / "ours")
    converted = spacy.load(tmp_path / "ours")
    doc = converted(TEXTS[0])
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("boats", "THING")]
    requirements = converted.meta["requirements"]
    assert requirements[0] == "other>=1"
    assert [line.split(">")[0] for line in requirements[1:]] == ["trf_bridge"]


def test_checkpoint_in_a_folder_is_read(fresh, checkpoint, tmp_path, tagger):
    """Version 1.0 of spacy-transformers saved a checkpoint instead of a file."""
    convert_pipeline(tagger, tmp_path / "ours")
    (tagger / "transformer" / "model").unlink()
    copied = tagger / "transformer" / "model"
    copied.mkdir()
    for path in checkpoint("bert").iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    convert_pipeline(tagger, tmp_path / "from_folder")
    one, two = (spacy.load(tmp_path / name) for name in ("ours", "from_folder"))
    assert describe(one(TEXTS[0])) == describe(two(TEXTS[0]))


def test_head_with_a_transformer_of_its_own(fresh, checkpoint, tmp_path):
    """spaCy's `replace_listeners` saves a copy of the transformer in the file of the head."""
    folder = checkpoint("bert")
    own = copy.deepcopy(oracles.load_plain("bert", folder))
    with torch.no_grad():
        for weights in own.parameters():
            weights.mul_(0.9)
    names = ["tagger", "morphologizer"]
    by_hand = build(fresh, names)
    tokenizer = oracles.load_plain_tokenizer(folder)
    rows = their_rows(own, tokenizer, "mean")
    replace_listeners(by_hand, lambda: given_rows(rows), ["tagger"])
    expected = predict_by_hand(by_hand, "bert", folder, "mean")
    nlp = build(fresh, names)
    shim = {**shim_of(folder), "state": torch_bytes(own.state_dict())}
    replace_listeners(nlp, lambda: their_own_transformer(shim), ["tagger"])
    save_foreign(nlp, folder, tmp_path / "theirs")
    use_own_transformer(tmp_path / "theirs", "tagger")
    convert_pipeline(tmp_path / "theirs", tmp_path / "ours")
    assert_equal_predictions(spacy.load(tmp_path / "ours"), expected)


# Bad input


class Planted:
    """An object whose pickle creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickle_in_the_weights_is_never_executed(tagger, checkpoint, tmp_path):
    planted = tmp_path / "executed"
    pickle.loads(pickle.dumps(Planted(planted)))
    assert planted.exists()  # the pickle works
    planted.unlink()
    for state in ({"weight": Planted(planted)}, Planted(planted)):
        shim = {**shim_of(checkpoint("bert")), "state": torch_bytes(state)}
        (tagger / "transformer" / "model").write_bytes(model_bytes(shim))
        refuse(tagger, tmp_path, "TB071.*transformer.model")
    assert not planted.exists()


def refuse(source, tmp_path, match):
    """Check that the conversion is refused and leaves nothing behind."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=match):
        convert_pipeline(source, tmp_path / "ours")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "state", [[torch.zeros(2)], {"name": "a text"}], ids=["list", "other values"]
)
def test_weights_with_other_values_are_refused(tagger, checkpoint, tmp_path, state):
    shim = {**shim_of(checkpoint("bert")), "state": torch_bytes(state)}
    (tagger / "transformer" / "model").write_bytes(model_bytes(shim))
    refuse(tagger, tmp_path, "TB071")


def cut(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda shim: cut(model_bytes(shim)), "TB070.*model"),
        (lambda shim: srsly.msgpack_dumps([1, 2]), "TB070.*nodes"),
        (lambda shim: model_bytes({**shim, "state": cut(shim["state"])}), "TB070"),
        (lambda shim: model_bytes({"tokenizer": {}}), "TB070.*'config'"),
        (lambda shim: model_bytes({**shim, "config": {}, "state": b""}), "TB070.*initialized"),
        (lambda shim: model_bytes({**shim, "state": torch_bytes({})}), "TB003"),
    ],
    ids=["cut", "other object", "cut weights", "other entries", "not initialized", "no weights"],
)
def test_broken_file_of_the_transformer_is_refused(tagger, checkpoint, tmp_path, edit, match):
    (tagger / "transformer" / "model").write_bytes(edit(shim_of(checkpoint("bert"))))
    refuse(tagger, tmp_path, match)


def test_missing_files_are_refused(tagger, tmp_path):
    (tagger / "transformer" / "model").unlink()
    refuse(tagger, tmp_path, "TB070.*model")
    (tagger / "meta.json").unlink()
    refuse(tagger, tmp_path, r"TB070.*meta\.json")
    (tagger / "config.cfg").write_text("[nlp\n")
    (tagger / "meta.json").write_text("{}")
    refuse(tagger, tmp_path, r"TB070.*config\.cfg")


def test_head_that_does_not_fit_its_config_is_refused(tagger, tmp_path):
    message = srsly.msgpack_loads((tagger / "tagger" / "model").read_bytes())
    message["nodes"].pop()
    (tagger / "tagger" / "model").write_bytes(srsly.msgpack_dumps(message))
    refuse(tagger, tmp_path, r"TB072.*tagger.*mismatched")


def test_parts_without_counterpart_are_refused(tagger, tmp_path):
    config = Config().from_disk(tagger / "config.cfg", interpolate=False)
    components = config["components"]
    second = {**config, "components": {**components, "second": components["transformer"]}}
    Config(second).to_disk(tagger / "config.cfg")
    refuse(tagger, tmp_path, "TB073.*found 2")
    components["tagger"]["model"]["tok2vec"]["pooling"] = {"@layers": "reduce_max.v1"}
    config.to_disk(tagger / "config.cfg")
    refuse(tagger, tmp_path, "TB067.*reduce_max")


def test_existing_output_is_replaced_by_force_alone(tagger, tmp_path):
    (tmp_path / "ours").mkdir()
    refuse(tagger, tmp_path, "TB041")
    convert_pipeline(tagger, tmp_path / "ours", force=True)
    assert "trf_tok2vec" in load_config(tmp_path / "ours" / "config.cfg").to_str()


def test_slow_tokenizer_is_converted_with_a_warning(tagger, checkpoint, tmp_path):
    shim = shim_of(checkpoint("bert"))
    shim["tokenizer"]["kwargs"] = {"use_fast": False}
    (tagger / "transformer" / "model").write_bytes(model_bytes(shim))
    with pytest.warns(UserWarning, match="TB114"):
        convert_pipeline(tagger, tmp_path / "ours")
