"""Saving and loading: bit-identical results, no network, no partial files."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from spacy.lang.en import English
from tiny import WIDTH

from trf_bridge.pipes.storage import replacing
from trf_bridge.wrappers import files
from trf_bridge.wrappers.files import FORMAT

TEXT = "Apple pie is delicious. 👍🏽 Is it? [SEP] Über den Dächern…"

SETTINGS = {
    "overflow": "window",
    "stride": 8,
    "words_per_batch": 100,
    "output_hidden_states": True,
    "output_attentions": True,
}


def assert_identical(got, expected):
    assert got._.trf_word_pieces.tolist() == expected._.trf_word_pieces.tolist()
    assert got._.trf_word_pieces_ == expected._.trf_word_pieces_
    assert got._.trf_alignment == expected._.trf_alignment
    assert numpy.array_equal(got.tensor, expected.tensor)
    assert numpy.array_equal(got._.trf_last_hidden_state, expected._.trf_last_hidden_state)


@pytest.fixture
def saved(pipeline, tmp_path) -> Path:
    pipeline("bert").to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def new_pipeline():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("trf_wordpiecer")
    nlp.add_pipe("trf_tok2vec")
    return nlp


# Bit-identical results


def test_spacy_load_gives_identical_results(family, pipeline, tmp_path):
    nlp = pipeline(family)
    nlp.to_disk(tmp_path)
    assert_identical(spacy.load(tmp_path)(TEXT), nlp(TEXT))


def test_bytes_give_identical_results(family, pipeline):
    nlp = pipeline(family)
    loaded = new_pipeline().from_bytes(nlp.to_bytes())
    assert_identical(loaded(TEXT), nlp(TEXT))


def test_pickle_gives_identical_results(family, pipeline):
    nlp = pipeline(family)
    assert_identical(pickle.loads(pickle.dumps(nlp))(TEXT), nlp(TEXT))


def test_settings_are_saved(pipeline, tmp_path):
    nlp = pipeline("bert", **SETTINGS)
    nlp.to_disk(tmp_path)
    text = TEXT + " cat" * 100
    for loaded in (spacy.load(tmp_path), pickle.loads(pickle.dumps(nlp))):
        assert_identical(loaded(text), nlp(text))
        wordpiecer = loaded.get_pipe("trf_wordpiecer")
        assert (wordpiecer.overflow, wordpiecer.stride) == ("window", 8)
        assert loaded.get_pipe("trf_tok2vec").model.attrs["words_per_batch"] == 100
        got, doc = loaded(TEXT), nlp(TEXT)
        assert numpy.array_equal(got._.trf_all_hidden_states, doc._.trf_all_hidden_states)
        for attention, expected in zip(
            got._.trf_all_attentions, doc._.trf_all_attentions, strict=True
        ):
            assert numpy.array_equal(attention, expected)


def test_components_load_individually(pipeline, tmp_path):
    nlp = pipeline("roberta")
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        component = nlp.get_pipe(name)
        component.to_disk(tmp_path / name)
        loaded = new_pipeline().get_pipe(name).from_disk(tmp_path / name)
        again = new_pipeline().get_pipe(name).from_bytes(loaded.to_bytes())
        assert again.to_bytes() == loaded.to_bytes()


def test_model_layer_serializes_to_bytes(pipeline):
    model = pipeline("bert").get_pipe("trf_tok2vec").model
    loaded = new_pipeline().get_pipe("trf_tok2vec").model.from_bytes(model.to_bytes())
    assert loaded.get_dim("nO") == WIDTH
    assert loaded.shims[0].to_bytes() == model.shims[0].to_bytes()


def test_bytes_and_pickle_of_an_uninitialized_pipeline():
    nlp = new_pipeline()
    for loaded in (new_pipeline().from_bytes(nlp.to_bytes()), pickle.loads(pickle.dumps(nlp))):
        with pytest.raises(ValueError, match="TB010"):
            loaded("One.")


def test_loaded_pipeline_does_not_need_its_checkpoint(fresh, checkpoint, tmp_path):
    import trf_bridge

    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("bert"), folder)
    nlp = trf_bridge.from_pretrained(folder)
    expected = nlp(TEXT)
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(folder)
    loaded = spacy.load(tmp_path / "pipeline")
    assert_identical(loaded(TEXT), expected)
    loaded.initialize()
    assert_identical(loaded(TEXT), expected)
    loaded.to_disk(tmp_path / "again")
    assert_identical(spacy.load(tmp_path / "again")(TEXT), expected)


OFFLINE = """
import socket, sys
import numpy, spacy

def refuse(*args, **kwargs):
    raise SystemExit("the network was used")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
doc = spacy.load(sys.argv[1])(sys.argv[2])
numpy.save(sys.argv[3], doc.tensor)
"""


def test_new_process_without_network_gives_identical_results(pipeline, saved, tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    env["HF_HOME"] = str(tmp_path / "home")
    command = [sys.executable, "-c", OFFLINE, str(saved), TEXT, str(tmp_path / "tensor.npy")]
    subprocess.run(command, check=True, env=env, cwd=tmp_path)
    assert numpy.array_equal(numpy.load(tmp_path / "tensor.npy"), pipeline("bert")(TEXT).tensor)


def test_saved_files_load_with_transformers(saved, checkpoint):
    from transformers import AutoModel, AutoTokenizer

    folder = saved / "trf_tok2vec"
    assert {path.name for path in folder.iterdir()} == {
        *["config.json", "model.safetensors", "tok2vec.json"]
    }
    weights = AutoModel.from_pretrained(folder).state_dict()
    original = AutoModel.from_pretrained(checkpoint("bert")).state_dict()
    assert weights.keys() == original.keys()
    assert all(weights[name].equal(original[name]) for name in weights)
    tokenizer = AutoTokenizer.from_pretrained(saved / "trf_wordpiecer" / "tokenizer")
    expected = AutoTokenizer.from_pretrained(checkpoint("bert"))
    assert tokenizer(TEXT)["input_ids"] == expected(TEXT)["input_ids"]


def test_saved_folders_contain_no_pickles(saved):
    for path in saved.rglob("*"):
        if path.is_file() and path.parent.name in ("trf_tok2vec", "trf_wordpiecer", "tokenizer"):
            assert path.suffix in (".json", ".safetensors", ".txt", ".model", ".jinja")


def test_saving_does_not_change_the_pipeline(fresh, tmp_path):
    nlp = fresh("bert")
    before = nlp(TEXT)
    nlp.to_disk(tmp_path)
    nlp.to_bytes()
    pickle.dumps(nlp)
    assert_identical(nlp(TEXT), before)


def test_excluded_component_is_not_saved(pipeline, tmp_path):
    pipeline("bert").to_disk(tmp_path, exclude=["trf_tok2vec"])
    assert not (tmp_path / "trf_tok2vec").exists()
    assert (tmp_path / "trf_wordpiecer").exists()


# Broken files


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("trf_wordpiecer/wordpiecer.json", "TB006"),
        ("trf_wordpiecer/tokenizer", "TB006"),
        ("trf_wordpiecer/tokenizer/tokenizer.json", "TB004"),
        ("trf_tok2vec/tok2vec.json", "TB006"),
        ("trf_tok2vec/model.safetensors", "TB003"),
        ("trf_tok2vec/config.json", "TB00[23]"),
        ("trf_tok2vec", "TB006"),
        ("trf_wordpiecer", "TB006"),
    ],
)
def test_error_names_a_missing_file(saved, file, code):
    path = saved / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=rf"\[{code}\]") as caught:
        spacy.load(saved)
    assert file.split("/")[0] in str(caught.value)


@pytest.mark.parametrize("kept", [0, 0.5, 0.999])
@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("trf_wordpiecer/wordpiecer.json", "TB006"),
        ("trf_wordpiecer/tokenizer/tokenizer.json", "TB004"),
        ("trf_tok2vec/tok2vec.json", "TB006"),
        ("trf_tok2vec/model.safetensors", "TB003"),
        ("trf_tok2vec/config.json", "TB00[23]"),
    ],
)
def test_error_names_a_truncated_file(saved, file, code, kept):
    content = (saved / file).read_bytes()
    (saved / file).write_bytes(content[: min(int(len(content) * kept), len(content) - 2)])
    with pytest.raises(ValueError, match=rf"\[{code}\]") as caught:
        spacy.load(saved)
    assert file.split("/")[0] in str(caught.value)


@pytest.mark.parametrize("file", ["trf_wordpiecer/wordpiecer.json", "trf_tok2vec/tok2vec.json"])
@pytest.mark.parametrize("version", [FORMAT + 1, 99, None, "new", [1]])
def test_error_names_a_file_of_a_newer_format(saved, file, version):
    settings = srsly.read_json(saved / file)
    srsly.write_json(saved / file, {**settings, "format": version})
    with pytest.raises(ValueError, match=r"\[TB005\] .*pip install -U trf_bridge") as caught:
        spacy.load(saved)
    assert file in str(caught.value).replace("\\", "/")


@pytest.mark.parametrize("content", ["[]", "1", "null", "{}", '{"format": 1}', "\x00\xff"])
def test_error_names_an_invalid_settings_file(saved, content):
    path = saved / "trf_wordpiecer" / "wordpiecer.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"\[TB00[56]\] .*wordpiecer\.json"):
        spacy.load(saved)


@pytest.mark.parametrize("name", ["trf_wordpiecer", "trf_tok2vec"])
def test_bytes_of_a_newer_format_are_rejected(pipeline, name):
    component = pipeline("bert").get_pipe(name)
    message = srsly.msgpack_loads(component.to_bytes())
    record = message.get("settings", message)
    record["format"] = FORMAT + 1
    with pytest.raises(ValueError, match=r"\[TB005\]"):
        new_pipeline().get_pipe(name).from_bytes(srsly.msgpack_dumps(message))


def test_failed_load_leaves_the_component_unchanged(fresh, saved):
    nlp = fresh("roberta")
    before = nlp(TEXT)
    (saved / "trf_tok2vec" / "model.safetensors").write_bytes(b"")
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        (saved / name / "config.json").unlink(missing_ok=True)
    (saved / "trf_wordpiecer" / "tokenizer" / "tokenizer.json").write_bytes(b"")
    for name in ("trf_wordpiecer", "trf_tok2vec"):
        with pytest.raises(ValueError, match="TB00"):
            nlp.get_pipe(name).from_disk(saved / name)
    assert_identical(nlp(TEXT), before)


# Failed saves


@pytest.mark.parametrize("name", ["trf_wordpiecer", "trf_tok2vec"])
def test_failed_save_leaves_the_old_folder_intact(fresh, monkeypatch, tmp_path, name):
    component = fresh("bert").get_pipe(name)
    folder = tmp_path / "out" / name
    component.to_disk(folder)
    before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def fail(self, folder, **options):
        (Path(folder) / "config.json").write_text("half", encoding="utf8")
        raise OSError("No space left on device")

    saveable = component.model.shims[0]._model if name == "trf_tok2vec" else None
    saveable = component.tokenizer.tokenizer if saveable is None else saveable
    monkeypatch.setattr(type(saveable), "save_pretrained", fail)
    with pytest.raises(OSError, match="No space"):
        component.to_disk(folder)
    after = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert after == before
    assert [path.name for path in folder.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["trf_wordpiecer", "trf_tok2vec"])
def test_uninitialized_component_is_not_saved_over_existing_files(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").write_text("x", encoding="utf8")
    with pytest.raises(ValueError, match=r"\[TB010\] .*" + name):
        new_pipeline().get_pipe(name).to_disk(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == [name, "precious"]


def test_saving_over_an_older_pipeline_removes_its_files(pipeline, fresh, tmp_path):
    fresh("roberta").to_disk(tmp_path)
    (tmp_path / "trf_tok2vec" / "pytorch_model.bin").write_bytes(b"old")
    pipeline("bert").to_disk(tmp_path)
    assert not (tmp_path / "trf_tok2vec" / "pytorch_model.bin").exists()
    assert_identical(spacy.load(tmp_path)(TEXT), pipeline("bert")(TEXT))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_replacing_swaps_the_folder_only_after_it_is_written(tmp_path):
    target = tmp_path / "deep" / "folder"
    with replacing(target) as folder:
        (folder / "a").write_text("1", encoding="utf8")
        assert not target.exists()
    assert (target / "a").read_text(encoding="utf8") == "1"

    def write_half() -> None:
        with replacing(target) as folder:
            (folder / "b").write_text("2", encoding="utf8")
            raise RuntimeError("half written")

    with pytest.raises(RuntimeError, match="half written"):
        write_half()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_replacing_restores_the_old_folder_if_the_move_fails(tmp_path, monkeypatch):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "a").write_text("1", encoding="utf8")
    rename = Path.rename

    def fail(self, to):
        if self.name == "new":
            raise OSError("no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="no"), replacing(target) as folder:
        (folder / "b").write_text("2", encoding="utf8")
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_saved_folders_follow_the_umask(saved):
    # Temporary folders are private to their owner; saved folders must follow the umask.
    umask = os.umask(0)
    os.umask(umask)
    for path in [saved / "trf_tok2vec", saved / "trf_wordpiecer"]:
        assert path.stat().st_mode & 0o777 == 0o777 & ~umask


def test_no_temporary_files_are_left(pipeline, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    nlp = pipeline("bert")
    new_pipeline().from_bytes(nlp.to_bytes())
    pickle.loads(pickle.dumps(nlp))
    assert list(tmp_path.iterdir()) == []


def test_files_from_bytes_stay_in_their_folder():
    with files.files_from_bytes({"../../outside": b"x", "a": b"y"}) as folder:
        assert {path.name for path in folder.iterdir()} == {"outside", "a"}
    assert not folder.exists()


# The pipeline around the components


def test_sourced_components_give_identical_results(pipeline):
    nlp = English()
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("trf_wordpiecer", source=pipeline("bert"))
    nlp.add_pipe("trf_tok2vec", source=pipeline("bert"))
    assert_identical(nlp(TEXT), pipeline("bert")(TEXT))


def test_config_of_a_saved_pipeline_is_complete(pipeline, saved, checkpoint):
    config = spacy.util.load_config(saved / "config.cfg")
    assert config["nlp"]["pipeline"] == ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]
    wordpiecer, tok2vec = (config["components"][n] for n in ("trf_wordpiecer", "trf_tok2vec"))
    assert set(wordpiecer) >= {
        *["factory", "trf_name", "revision", "overflow", "stride"],
        *["split_special_tokens", "trust_remote_code"],
    }
    assert set(tok2vec["model"]) >= {
        *["@architectures", "trf_name", "revision", "words_per_batch", "precision"],
        *["output_hidden_states", "output_attentions", "trust_remote_code"],
    }
    assert wordpiecer["trust_remote_code"] is tok2vec["model"]["trust_remote_code"] is False
    assert json.loads((saved / "meta.json").read_text(encoding="utf8"))["pipeline"]
