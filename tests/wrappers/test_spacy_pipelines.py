"""spaCy pipelines where a checkpoint is expected: an error with the command to use, at once."""

from __future__ import annotations

import json
import sys

import pytest
import spacy

import trf_bridge


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that installs a pipeline as a package, as spaCy's wheels do."""

    def install(nlp, name="xx_trf_installed"):
        folder = tmp_path / name
        folder.mkdir()
        nlp.to_disk(folder / f"{name}-1.0.0")
        (folder / "__init__.py").write_text("raise ImportError('not to be run')", encoding="utf8")
        meta = (folder / f"{name}-1.0.0" / "meta.json").read_text(encoding="utf8")
        (folder / "meta.json").write_text(meta, encoding="utf8")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return install


def message_of(name, **settings):
    with pytest.raises(ValueError, match=r"^\[TB058\]") as caught:
        trf_bridge.from_pretrained(name, **settings)
    message = str(caught.value)
    assert str(name) in message
    return message


def as_library(folder, factory):
    """Change the config of a saved pipeline to that of another library."""
    path = folder / "config.cfg"
    text = path.read_text(encoding="utf8").replace('"trf_tok2vec"', f'"{factory}"')
    assert f'factory = "{factory}"' in text
    path.write_text(text, encoding="utf8")


def test_saved_pipeline(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path)
    assert f"spacy.load({str(tmp_path)!r})" in message_of(tmp_path)


def test_pipeline_without_a_transformer(tmp_path):
    spacy.blank("en").to_disk(tmp_path)
    assert "spacy.load" in message_of(tmp_path)


def test_installed_package(pipeline, package):
    name = package(pipeline("bert"))
    assert f"spacy.load({name!r})" in message_of(name)
    assert name not in sys.modules


@pytest.mark.parametrize(
    ("factory", "library"),
    [
        ("transformer", "spacy-transformers"),
        ("curated_transformer", "spacy-curated-transformers"),
    ],
)
def test_pipeline_of_another_library(pipeline, package, tmp_path, factory, library):
    folder = tmp_path / "pipeline"
    pipeline("bert").to_disk(folder)
    as_library(folder, factory)
    message = message_of(folder)
    assert f"a spaCy pipeline of {library}," in message
    assert f"python -m spacy trf convert {folder} OUTPUT" in message
    name = package(pipeline("bert"))
    as_library(tmp_path / name / f"{name}-1.0.0", factory)
    assert f"python -m spacy trf convert {name} OUTPUT" in message_of(name)


@pytest.mark.parametrize("component", ["trf_wordpiecer", "trf_tok2vec"])
def test_components_refuse_a_pipeline(pipeline, tmp_path, component):
    pipeline("bert").to_disk(tmp_path)
    nlp = spacy.blank("en")
    setting = {"trf_name": str(tmp_path)}
    nlp.add_pipe(component, config={"model": setting} if component == "trf_tok2vec" else setting)
    with pytest.raises(ValueError, match=r"^\[TB058\]"):
        nlp.initialize()


def test_folder_of_a_component_is_a_checkpoint(pipeline, tmp_path):
    """The weights of a pipeline; the tokenizer is beside them."""
    pipeline("bert").to_disk(tmp_path)
    with pytest.raises(ValueError, match=r"^\[TB004\]"):
        trf_bridge.from_pretrained(tmp_path / "trf_tok2vec")


def test_other_packages_and_files_are_no_pipelines(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps({"a": 1}), encoding="utf8")
    for name in (tmp_path, "json", "numpy", "a.b"):
        with pytest.raises(ValueError, match=r"^\[TB002\]"):
            trf_bridge.from_pretrained(name)
    (tmp_path / "meta.json").write_text("{", encoding="utf8")
    with pytest.raises(ValueError, match=r"^\[TB002\]"):
        trf_bridge.from_pretrained(tmp_path)


def test_checkpoint_beside_a_pipeline_is_read(checkpoint, pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path)
    for path in checkpoint("bert").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert trf_bridge.from_pretrained(tmp_path)("One.").tensor.any()
