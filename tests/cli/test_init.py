"""`spacy trf init`: pipelines, options from the settings classes, and errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import spacy
import typer
from command_line import refused, trf
from spacy.language import Language
from typer.testing import CliRunner

from trf_bridge.cli.console import with_errors
from trf_bridge.cli.setting_options import setting_options
from trf_bridge.settings import (
    CheckpointSettings,
    TransformerSettings,
    WordpiecerSettings,
    defaults_of,
    descriptions_of,
    setting,
)

TEXT = "Anna saw Berlin. It rained."


def test_init_saves_the_pipeline_of_from_pretrained(
    checkpoint: Callable[[str], Path], pipeline: Callable[..., Language], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "pipeline"
    assert trf("init", checkpoint("bert"), out, "--lang", "de") == ""
    nlp = spacy.load(out)
    assert nlp.lang == "de"
    expected = pipeline("bert", lang="de")(TEXT).tensor
    numpy.testing.assert_array_equal(nlp(TEXT).tensor, expected)
    assert [path.name for path in out.parent.iterdir()] == ["pipeline"]


def test_init_stores_its_options_in_the_config(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    options = ["--max-length", 16, "--overflow", "window", "--sentences", "doc"]
    options += ["--words-per-batch", 64, "--precision", "bf16"]
    options += ["--output-attentions", "--output-hidden-states"]
    trf("init", checkpoint("bert"), tmp_path / "out", *options)
    config = spacy.load(tmp_path / "out").config["components"]
    wordpiecer, model = config["trf_wordpiecer"], config["trf_tok2vec"]["model"]
    assert [wordpiecer[f] for f in ("max_length", "overflow", "sentences")] == [16, "window", "doc"]
    assert [model[f] for f in ("words_per_batch", "precision")] == [64, "bf16"]
    assert model["output_attentions"] is True
    assert model["output_hidden_states"] is True


# A value of each setting that is not its default.
VALUES: dict[str, Any] = {
    "revision": "v1",
    "trust_remote_code": True,
    "sentences": "doc",
    "max_length": 16,
    "overflow": "window",
    "stride": 4,
    "window_rows": "mean",
    "split_special_tokens": True,
    "by_token": True,
    "separator": "|||",
    "words_per_batch": 64,
    "output_hidden_states": True,
    "output_attentions": True,
    "precision": "bf16",
    "products": "torch",
    "engine": "tiles",
    "freeze": 1,
    "layer_lr_decay": 0.9,
    "gradient_checkpointing": True,
}


def test_each_setting_is_an_option_of_init(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    wordpiecer, transformer = defaults_of(WordpiecerSettings), defaults_of(TransformerSettings)
    assert {*VALUES, "trf_name"} == {*wordpiecer, *transformer}
    options: list[object] = []
    for name, value in VALUES.items():
        options += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    trf("init", checkpoint("bert"), tmp_path / "out", *options)
    config = spacy.load(tmp_path / "out").config["components"]
    for block, defaults in [
        (config["trf_wordpiecer"], wordpiecer),
        (config["trf_tok2vec"]["model"], transformer),
    ]:
        for name in set(defaults) - {"trf_name"}:
            assert block[name] == VALUES[name], name
            assert type(block[name]) is type(VALUES[name]), name
            assert VALUES[name] != defaults[name], name


def test_help_of_init_describes_each_setting() -> None:
    # Some versions of typer print a backslash before brackets.
    printed = " ".join(trf("init", "--help").replace("\\[", "[").split())
    for settings in (WordpiecerSettings, TransformerSettings):
        defaults = defaults_of(settings)
        for name, description in descriptions_of(settings).items():
            if name == "trf_name":
                continue
            shown = f"--{name.replace('_', '-')} "
            assert shown in printed
            described = description
            if not isinstance(defaults[name], bool):
                default = "(null)" if defaults[name] is None else defaults[name]
                described += f" [default: {default}]"
            # The lines of the help break after hyphens too.
            assert described.replace(" ", "") in printed.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("none", "none"), ("embeddings", "embeddings"), ("all", "all"), ("2", 2)],
)
def test_freeze_is_a_name_or_a_number(
    checkpoint: Callable[[str], Path], tmp_path: Path, text: str, expected: str | int
) -> None:
    trf("init", checkpoint("bert"), tmp_path / "out", "--freeze", text)
    model = spacy.load(tmp_path / "out").config["components"]["trf_tok2vec"]["model"]
    assert model["freeze"] == expected


def test_a_new_setting_is_an_option() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class NewSettings(CheckpointSettings):
        fast: bool = setting(True, "Be fast.")
        rate: float | None = setting(None, "The rate.")

    called = {}

    @setting_options(NewSettings, exclude=("trf_name", "trust_remote_code"))
    def command(name: str, **settings: Any) -> None:
        called.update(name=name, **settings)

    app = typer.Typer(add_completion=False)
    app.command()(with_errors(command))
    result = CliRunner().invoke(app, ["x", "--no-fast", "--rate", "0.5"])
    assert result.exit_code == 0, result.output
    assert called == {"name": "x", "fast": False, "rate": 0.5, "revision": None}


def test_init_replaces_only_with_force(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    trf("init", checkpoint("bert"), out)
    before = (out / "config.cfg").read_bytes()
    assert "TB041" in refused("init", checkpoint("roberta"), out)
    assert (out / "config.cfg").read_bytes() == before
    trf("init", checkpoint("roberta"), out, "--force")
    assert (out / "config.cfg").read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["no/such-checkpoint"], "TB002"),
        (["{bert}", "--overflow", "ignore"], "TB008"),
        (["{bert}", "--words-per-batch", "-1"], "TB009"),
        (["{bert}", "--precision", "fp64"], "TB008"),
        (["{bert}", "--freeze", "some"], "TB008"),
        (["{bert}", "--freeze", "-1"], "TB008"),
    ],
)
def test_init_that_fails_writes_nothing(
    checkpoint: Callable[[str], Path], tmp_path: Path, arguments: list[str], code: str
) -> None:
    name, *options = [argument.format(bert=checkpoint("bert")) for argument in arguments]
    assert code in refused("init", name, tmp_path / "new" / "out", *options)
    assert list(tmp_path.iterdir()) == []


def test_init_that_fails_while_saving_leaves_no_folder(
    checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Language, path: Path) -> None:
        (path / "half.cfg").write_text("x")
        raise OSError("the disk is full")

    monkeypatch.setattr(Language, "to_disk", fail)
    assert "TB040" in refused("init", checkpoint("bert"), tmp_path / "new" / "out")
    assert list(tmp_path.iterdir()) == []


def test_init_that_fails_while_saving_keeps_the_existing_pipeline(
    checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    trf("init", checkpoint("bert"), out)
    before = (out / "config.cfg").read_bytes()

    def fail(self: Language, path: Path) -> None:
        (path / "half.cfg").write_text("x")
        raise OSError("the disk is full")

    monkeypatch.setattr(Language, "to_disk", fail)
    assert "TB040" in refused("init", checkpoint("roberta"), out, "--force")
    assert (out / "config.cfg").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
