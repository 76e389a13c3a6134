"""The group of commands: its imports, help and errors, and the modules that commands share."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import spacy
import typer
from command_line import refused, run, trf
from spacy.language import Language
from typer.testing import CliRunner

from trf_bridge.cli import COMMANDS
from trf_bridge.cli.console import (
    progress,
    read_lines,
    steps,
    with_errors,
)
from trf_bridge.cli.pipelines import find_pipeline, load_pipeline
from trf_bridge.cli.writing import check_output, creating_folder, replacing_file

TEXT = "Anna saw Berlin. It rained."


def python(code: str, folder: Path, *arguments: str) -> Any:
    """Run code in a new process, and parse the last line of its output as JSON."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_spacy_finds_the_group_and_imports_no_command(tmp_path: Path) -> None:
    code = """
import contextlib, io, json, sys
from spacy.cli import setup_cli
with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
    setup_cli()
ours = sorted(name for name in sys.modules if name.split(".")[0] == "trf_bridge")
print(json.dumps([printed.getvalue(), ours]))
"""
    printed, ours = python(code, tmp_path, "--help")
    assert "  trf " in printed
    assert ours == [
        *["trf_bridge", "trf_bridge.about", "trf_bridge.cli", "trf_bridge.cli.console"],
        "trf_bridge.errors",
    ]


def test_the_group_imports_nothing_that_spacy_does_not_import(tmp_path: Path) -> None:
    code = """
import json, sys
import spacy.cli
before = set(sys.modules)
import trf_bridge.cli
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""
    assert python(code, tmp_path) == ["trf_bridge"]


def test_help_lists_each_command_with_one_sentence() -> None:
    printed = trf("--help")
    for name in COMMANDS:
        (line,) = re.findall(rf"^  {name} +(.+)$", printed, re.M)
        assert re.fullmatch(r"[A-Z][^.]+\.", line), line  # not shortened to "..."


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example(name: str) -> None:
    printed = trf(name, "--help")
    assert "Example:" in printed
    assert f"python -m spacy trf {name} " in printed
    assert "--verbose" in printed


def test_error_for_an_unknown_command_suggests_a_similar_one() -> None:
    result = run("trf", "inspekt")
    assert result.exit_code == 2
    assert "inspect" in result.stderr


def failing_app(error: Exception) -> typer.Typer:
    def fail(name: Annotated[str, typer.Option()] = "x") -> None:
        raise error

    app = typer.Typer(add_completion=False)
    app.command()(with_errors(fail))
    return app


@pytest.mark.parametrize("error", [KeyError("label"), RuntimeError("two\n  lines"), OSError()])
def test_unexpected_error_is_one_line(error: Exception) -> None:
    result = CliRunner().invoke(failing_app(error), ["--name", "y"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("[TB040] ")
    assert type(error).__name__ in result.stderr
    assert result.stderr.count("\n") == 1
    assert "--verbose" in result.stderr


@pytest.mark.parametrize("message", ["[TB001] No checkpoint.", "[E050] Can't find model."])
def test_error_with_a_code_is_printed_unchanged(message: str) -> None:
    result = CliRunner().invoke(failing_app(ValueError(message)), [])
    assert (result.exit_code, result.stderr) == (1, message + "\n")


def test_warning_is_one_line() -> None:
    def warn(name: Annotated[str, typer.Option()] = "x") -> None:
        warnings.warn("[TB101] two\nlines", stacklevel=1)
        warnings.warn("no code", stacklevel=1)

    app = typer.Typer(add_completion=False)
    app.command()(with_errors(warn))
    before = warnings.showwarning
    result = CliRunner().invoke(app, ["--name", "y"])
    assert result.stderr == "[TB101] two lines\nUserWarning: no code\n"
    assert warnings.showwarning is before


def test_verbose_raises_the_error() -> None:
    error = KeyError("label")
    result = CliRunner().invoke(failing_app(error), ["--verbose"])
    assert result.exit_code == 1
    assert result.exception is error


def test_verbose_shows_the_traceback(tmp_path: Path) -> None:
    for options, expected in [([], False), (["--verbose"], True)]:
        command = [sys.executable, "-m", "spacy", "trf", "inspect", "no_such_pipeline", "x"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert "TB044" in done.stderr
        assert ("Traceback" in done.stderr) is expected


def test_output_is_replaced_only_with_force(tmp_path: Path) -> None:
    check_output(tmp_path / "new", force=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"TB041.*--force"):
        check_output(tmp_path / "file", force=False)
    check_output(tmp_path / "file", force=True)


def test_folder_that_is_not_a_pipeline_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match=r"TB041.*not a saved pipeline"):
        check_output(tmp_path, force=True, folder=True)


def test_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="TB041"):
        check_output(tmp_path / "link", force=False)


def test_file_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "page.html"
    with replacing_file(path) as staged:
        staged.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    plain = tmp_path / "plain"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode

    def fail() -> None:
        with replacing_file(path) as staged:
            staged.write_text("two")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_created_folders_are_removed_after_an_error(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        with creating_folder(path):
            assert path.is_dir()
            raise OSError("the disk is full")

    (tmp_path / "there").mkdir()
    for name in ("a/b/c", "there", "there/d"):
        with pytest.raises(OSError, match="full"):
            fail(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_file_instead_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "file" / "out", tmp_path / "file" / "a" / "b"):
        with pytest.raises(ValueError, match=r"TB041.*file exists already.*not a folder"):
            check_output(path, force=True, folder=True)
    with pytest.raises(ValueError, match=r"TB041.*is a folder"):
        check_output(tmp_path / "empty", force=True)
    check_output(tmp_path / "empty", force=True, folder=True)


def test_lines_are_read_without_byte_order_mark_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffgrün\r\n\x0bein\u2028Satz\nlast".encode())
    assert list(read_lines(path)) == ["grün", "\x0bein\u2028Satz", "last"]


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("fine\ngrün\n".encode("latin1"), "got the byte 0xfc in line 2"),
        ("grün".encode("utf-16"), "got the byte 0xff in line 1"),
        (b"\xef\xbb\xbfgr\xfcn", "got the byte 0xfc in line 1"),
    ],
)
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes, where: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"TB042.*text\.txt.*{where}"):
        list(read_lines(path))


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_missing_file_and_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="TB044"):
        list(read_lines(tmp_path / name))


def test_progress_is_not_shown_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(iter("abc"), title="Reading", unit="letters")) == ["a", "b", "c"]
    with steps(2) as step:
        step("One")
        step("Two")
    assert capsys.readouterr() == ("", "")


def test_progress_is_shown_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with steps(2) as step:
        step("Loading")
        step("Saving")
    out, err = capsys.readouterr()
    assert out == ""
    assert "Loading (1/2)" in err
    assert "Saving (2/2)" in err


def test_pipeline_is_found_by_folder_or_package(tmp_path: Path, source: Path) -> None:
    assert find_pipeline(str(source)) == source
    for name in ("no_such_pipeline", str(tmp_path), "numpy"):
        with pytest.raises(ValueError, match="TB044"):
            find_pipeline(name)


def test_pipeline_without_the_component_is_refused(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "plain")
    with pytest.raises(ValueError, match=r"TB043.*trf_wordpiecer.*sentencizer"):
        load_pipeline(str(tmp_path / "plain"), needs=["trf_wordpiecer"])
    assert "TB043" in refused("inspect", tmp_path / "plain", "a text")


def test_only_what_is_needed_is_loaded(tmp_path: Path, source: Path) -> None:
    nlp = load_pipeline(str(source), needs=["trf_wordpiecer"], only_needed=True)
    assert nlp.component_names == ["sentencizer", "trf_wordpiecer"]
    nlp = load_pipeline(str(source), needs=["trf_wordpiecer"])
    assert nlp.component_names == ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]
    optional = ["trf_tok2vec", "trf_textcat"]
    nlp = load_pipeline(str(source), needs=["trf_sentencizer"], optional=optional, only_needed=True)
    assert nlp.component_names == ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]


def test_settings_can_be_overridden_by_factory(
    pipeline: Callable[..., Language], tmp_path: Path
) -> None:
    nlp = pipeline("bert")
    nlp.to_disk(tmp_path / "pipeline")
    text = (tmp_path / "pipeline" / "config.cfg").read_text(encoding="utf8")
    renamed = re.sub(r'(?<!factory = )(["\[.])trf_tok2vec\b', r"\1encoder", text)
    (tmp_path / "pipeline" / "config.cfg").write_text(renamed, encoding="utf8")
    (tmp_path / "pipeline" / "trf_tok2vec").rename(tmp_path / "pipeline" / "encoder")
    overrides = {"trf_tok2vec": {"model": {"words_per_batch": 64}}}
    loaded = load_pipeline(str(tmp_path / "pipeline"), needs=["trf_tok2vec"], overrides=overrides)
    assert loaded.config["components"]["encoder"]["model"]["words_per_batch"] == 64
