"""`spacy trf convert`: a converted config is valid and trains; bad input leaves nothing behind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from command_line import refused, run, trf
from made_docs import make_doc
from old_configs import CURATED, SHARED, STANDALONE, complete, parse, write
from spacy.kb import InMemoryLookupKB
from spacy.tokens import DocBin, Span
from thinc.api import Config

LINKER = """
[components.entity_linker]
factory = "entity_linker"
use_gold_ents = true

[components.entity_linker.model]
@architectures = "spacy.EntityLinker.v2"
nO = null

[components.entity_linker.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.entity_linker.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[initialize]

[initialize.components]

[initialize.components.entity_linker]

[initialize.components.entity_linker.kb_loader]
@misc = "spacy.KBFromFile.v1"
kb_path = "FOLDER"

[components.ner]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.spacy, dev.spacy and a knowledge base."""
    folder, nlp, rng = tmp_path_factory.mktemp("data"), spacy.blank("en"), random.Random(0)
    for name, n in [("train", 12), ("dev", 4)]:
        docs = [make_doc(nlp, rng) for _ in range(n)]
        for doc in docs:
            for token in doc:
                token.pos_ = "VERB" if token.tag_ == "VBD" else "PROPN"
                token.set_morph("Number=Sing")
            doc.ents = [Span(doc, e.start, e.end, e.label_, kb_id=e.label_) for e in doc.ents]
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
    kb = InMemoryLookupKB(nlp.vocab, entity_vector_length=4)
    kb.set_entities(["PERSON", "GPE"], [1, 1], [[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    kb.to_disk(folder / "kb")
    return folder


def check_and_train(config: Path, data: Path, output: Path) -> spacy.language.Language:
    """Run `spacy debug config` and four steps of `spacy train`."""
    paths = ["--paths.train", data / "train.spacy", "--paths.dev", data / "dev.spacy"]
    result = run("debug", "config", config, *paths)
    assert result.exit_code == 0, result.output + repr(result.exception)
    steps = ["--training.max_steps", 4, "--training.eval_frequency", 2]
    result = run("train", config, "--output", output, *steps, *paths)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return spacy.load(output / "model-last")


DOC_SPANS = (
    'strided_spans.v1"\nwindow = 20\nstride = 15',
    'doc_spans.v1"',
)
SENT_SPANS = (DOC_SPANS[0], 'sent_spans.v1"')


@pytest.mark.parametrize("getter", ["strided", "sents", "doc"])
def test_converted_config_trains(
    checkpoint: Callable[[str], Path], data: Path, tmp_path: Path, getter: str
) -> None:
    changes = {"strided": [], "sents": [SENT_SPANS], "doc": [DOC_SPANS]}[getter]
    old = write(parse(SHARED, *changes, checkpoint=checkpoint("bert")), tmp_path)
    table = trf("convert", old, tmp_path / "new.cfg")
    assert "translated" in table
    nlp = check_and_train(tmp_path / "new.cfg", data, tmp_path / "trained")
    assert nlp.pipe_names == ["trf_wordpiecer", "transformer", "tagger", "ner"]
    assert nlp.get_pipe("transformer").listening_components == ["tagger", "ner"]
    assert nlp("Anna counted the boats.")[0].tag_


def test_heads_with_a_transformer_train(
    checkpoint: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    old = write(parse(STANDALONE, checkpoint=checkpoint("bert")), tmp_path)
    trf("convert", old, tmp_path / "new.cfg")
    nlp = check_and_train(tmp_path / "new.cfg", data, tmp_path / "trained")
    assert nlp.pipe_names == ["trf_wordpiecer", "tagger", "morphologizer"]


def test_entity_linker_receives_the_width(
    checkpoint: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    linker = LINKER.replace("FOLDER", str(data / "kb"))
    changes = [
        ("\n[components.ner]\n", linker),
        ('"tagger","ner"]', '"ner","entity_linker"]'),
        DOC_SPANS,
    ]
    config = parse(SHARED, *changes, checkpoint=checkpoint("bert"))
    config["training"] = {"annotating_components": ["ner"]}
    sentencizer = {"factory": "sentencizer"}
    config["components"]["sentencizer"] = sentencizer
    config["nlp"]["pipeline"].insert(0, "sentencizer")
    config["training"]["annotating_components"].append("sentencizer")
    trf("convert", write(config, tmp_path), tmp_path / "new.cfg")
    new = Config().from_disk(tmp_path / "new.cfg")
    width = json.loads((checkpoint("bert") / "config.json").read_text())["hidden_size"]
    assert new["components"]["entity_linker"]["model"]["tok2vec"] == {
        "@architectures": "trf_bridge.Tok2VecListener.v1",
        "pooling": "sum",
        "boundary": True,
        "grad_factor": 1.0,
        "width": width,
    }
    check_and_train(tmp_path / "new.cfg", data, tmp_path / "trained")
    # Without the checkpoint, the width is left to the user.
    config = parse(SHARED, *changes, checkpoint=tmp_path / "absent")
    (tmp_path / "old.cfg").unlink()
    rows = json.loads(trf("convert", write(config, tmp_path), tmp_path / "b.cfg", "--json"))
    assert [row["what"] for row in rows if row["what"].startswith("width")] == ["width = null"]


def test_config_of_curated_transformers_trains(
    checkpoint: Callable[[str], Path], data: Path, tmp_path: Path
) -> None:
    old = write(parse(CURATED, checkpoint=checkpoint("bert")), tmp_path)
    rows = json.loads(trf("convert", old, tmp_path / "new.cfg", "--json"))
    assert {row["outcome"] for row in rows} == {"kept", "translated", "dropped"}
    assert set(rows[0]) == {"where", "what", "outcome", "why"}
    check_and_train(tmp_path / "new.cfg", data, tmp_path / "trained")


def test_everything_else_is_unchanged(tmp_path: Path) -> None:
    old = complete(parse(SHARED))
    trf("convert", write(parse(SHARED), tmp_path), tmp_path / "new.cfg")
    new = Config().from_disk(tmp_path / "new.cfg", interpolate=False)
    assert set(new) == set(old)
    for section in set(old) - {"nlp", "components"}:
        assert new[section] == old[section]
    assert new["corpora"]["train"]["path"] == "${paths.train}"


def test_no_factory_of_other_libraries_is_registered() -> None:
    """The name `transformer` belongs to spacy-transformers, also where both are installed."""
    assert not {"transformer", "curated_transformer"} & set(spacy.registry.factories.get_all())


def test_bad_input_leaves_nothing_behind(tmp_path: Path) -> None:
    source, output = tmp_path / "old.cfg", tmp_path / "out" / "new.cfg"
    assert "[TB044]" in refused("convert", source, output)
    source.write_text("[nlp]\npipeline = [\n[[[", encoding="utf8")
    assert "[TB067]" in (line := refused("convert", source, output))
    assert str(source) in line
    source.write_bytes(b"\xff\xfe")
    assert "[TB067]" in refused("convert", source, output)
    source.write_text("")
    assert "[TB067]" in refused("convert", source, output)
    change = ("HFTransformerEncoderLoader", "PyTorchCheckpointLoader")
    source.unlink()
    write(parse(CURATED, change), tmp_path)
    assert "[TB066]" in refused("convert", source, output)
    assert sorted(tmp_path.iterdir()) == [source]
    trf("convert", source, output, "--trf-name", "owner/name")
    assert "[TB041]" in refused("convert", source, output, "--trf-name", "owner/name")
    assert "[TB041]" in refused("convert", source, tmp_path)
    before = output.read_bytes()
    trf("convert", source, output, "--trf-name", "owner/other", "--force")
    assert output.read_bytes() != before
    assert "[TB067]" in refused("convert", output, tmp_path / "again.cfg")
    assert sorted(tmp_path.rglob("*")) == [source, output.parent, output]


def test_bad_pipelines(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "new"
    assert "[TB044]" in refused("convert", tmp_path / "absent", output)
    half = tmp_path / "half"
    half.mkdir()
    write(parse(SHARED), half).rename(half / "config.cfg")
    assert "[TB044]" in refused("convert", half, output)
    assert "[TB049]" in refused("convert", half, output, "--trf-name", "owner/name")
    (half / "meta.json").write_text("{}")
    assert "[TB041]" in refused("convert", half, half, "--force")
    before = sorted(tmp_path.rglob("*"))
    refused("convert", half, tmp_path / "new" / "folder")  # there are no weights
    assert "[TB041]" in refused("convert", half, source)
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_name_the_conversion(tmp_path: Path) -> None:
    for text, library in [(SHARED, "spacy-transformers"), (CURATED, "spacy-curated-transformers")]:
        folder = tmp_path / library
        folder.mkdir()
        write(parse(text), folder).rename(folder / "config.cfg")
        (folder / "meta.json").write_text('{"lang":"en","name":"old","version":"0.0.0"}')
        for command in [
            ("inspect", folder, "A text."),
            ("view", folder, "A text."),
            ("compare", folder, folder, "A text."),
            ("config", "--pipeline", "ner", "--trf", folder),
            ("package", folder, tmp_path / "dist"),
        ]:
            line = refused(*command)
            assert line.startswith("[TB065]")
            assert f"pipeline of {library}," in line
            assert f"python -m spacy trf convert {folder}" in line
    assert not (tmp_path / "dist").exists()
