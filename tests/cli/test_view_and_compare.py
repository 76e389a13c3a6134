"""`spacy trf view` and `spacy trf compare`."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import zlib
from urllib.request import ProxyHandler, build_opener

import numpy
import pytest
from spacy.cli import app
from tiny import HEADS, LAYERS
from typer.testing import CliRunner

import trf_bridge.cli  # registers the commands
from trf_bridge.cli.pages import open_server
from trf_bridge.cli.pipelines import load_transformer, run_over
from trf_bridge.pictures.attention import read_attention
from trf_bridge.pictures.head_overlap import compare_attention

TEXT = "Apple shares rose. The apples sleep."
# The most that a process may take to serve a page and to stop.
SECONDS = 120
# Ctrl+C must stop the server even if the tests run where SIGINT is ignored, which children inherit.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from spacy.cli import setup_cli
import trf_bridge.cli
setup_cli()
"""


def run(name, *args):
    """Run a command, and return its exit status and its output."""
    result = CliRunner().invoke(app, ["trf", name, *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def fail(name, *args):
    """Run a command that ends with an error, and return the line."""
    result = run(name, *args)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def assert_same_page(got, expected):
    """Compare two pages, up to the rounding of numbers, which differs between runs."""
    marks = r'"(?:low|high)":[^,]*,|"(?:values|tokens|words|pieces)":"[^"]*"'
    assert re.sub(marks, "", got).strip() == re.sub(marks, "", expected).strip()
    for one, two in zip(packed_numbers(got), packed_numbers(expected), strict=True):
        numpy.testing.assert_allclose(one, two, atol=1)


def packed_numbers(page):
    """Yield the packed numbers of a page: bytes, or cosines in thousandths for a similarity."""
    for data in re.findall(r'"(?:tokens|words|pieces)":"([^"]*)"', page):
        yield numpy.frombuffer(zlib.decompress(base64.b64decode(data)), "uint8").astype(int)
    for low, high, data in re.findall(r'"low":([^,]*),"high":([^,]*),"values":"([^"]*)"', page):
        found = numpy.frombuffer(zlib.decompress(base64.b64decode(data)), "<u2") / 65535
        yield 1000 * (float(low) + found * (float(high) - float(low)))


@pytest.fixture(scope="session")
def saved(pipeline, tmp_path_factory):
    """A folder with pipelines: without attentions, with them, and of another checkpoint."""
    folder = tmp_path_factory.mktemp("pipelines")
    pipeline("bert").to_disk(folder / "plain")
    pipeline("bert", output_attentions=True).to_disk(folder / "bert")
    pipeline("roberta", output_attentions=True).to_disk(folder / "roberta")
    return folder


@pytest.mark.parametrize("style", ["alignment", "similarity"])
def test_view_writes_a_page(saved, pipeline, tmp_path, style):
    output = tmp_path / "new" / "page.html"
    result = run("view", saved / "plain", TEXT, "--style", style, "--output", output)
    assert result.exit_code == 0
    assert result.stdout == ""
    expected = trf_bridge.render(pipeline("bert")(TEXT), style=style, page=True)
    assert_same_page(output.read_text(encoding="utf8"), expected)
    assert [path.name for path in output.parent.iterdir()] == ["page.html"]


def test_view_prints_without_an_output(saved):
    result = run("view", saved / "plain", TEXT)
    assert result.stdout.startswith("<!DOCTYPE html>")
    assert result.stdout.rstrip().endswith("</html>")


def test_view_of_two_texts(saved, pipeline):
    result = run("view", saved / "plain", TEXT, "Apple pie.", "--style", "similarity")
    docs = [pipeline("bert")(text) for text in (TEXT, "Apple pie.")]
    assert_same_page(result.stdout, trf_bridge.render(docs, style="similarity", page=True))


def test_view_uses_its_options(saved, pipeline):
    options = ["--style", "attention", "--layer", "1", "--head", "0", "--theme", "dark"]
    result = run("view", saved / "bert", TEXT, *options)
    doc = pipeline("bert", output_attentions=True)(TEXT)
    expected = trf_bridge.render(
        doc, style="attention", page=True, theme="dark", layers=[1], heads=[0]
    )
    assert_same_page(result.stdout, expected)


def test_attentions_can_be_turned_on_for_one_run(saved):
    kept = load_transformer(str(saved / "bert"))(TEXT)
    turned_on = load_transformer(str(saved / "plain"), output_attentions=True)(TEXT)
    for one, two in zip(read_attention(kept), read_attention(turned_on), strict=True):
        numpy.testing.assert_allclose(one.by_piece, two.by_piece, atol=1e-5)


def test_pipelines_are_loaded_up_to_their_transformer(saved, fresh, tmp_path):
    nlp = fresh("bert")
    textcat = nlp.add_pipe("trf_textcat")
    for label in ("A", "B"):
        textcat.add_label(label)
    nlp.initialize()
    nlp.to_disk(tmp_path / "more")
    for output_attentions in (False, True):
        loaded = load_transformer(str(tmp_path / "more"), output_attentions=output_attentions)
        assert loaded.pipe_names == ["sentencizer", "trf_wordpiecer", "trf_tok2vec"]


def test_no_attentions_stored(saved, tmp_path):
    output = tmp_path / "page.html"
    message = fail("view", saved / "plain", "--style", "attention", TEXT, "--output", output)
    assert "[TB051]" in message
    assert "output_attentions = true in [components.trf_tok2vec.model]" in message
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(saved, tmp_path):
    output = tmp_path / "page.html"
    output.write_text("mine")
    assert "[TB041]" in fail("view", saved / "plain", TEXT, "--output", output)
    assert output.read_text() == "mine"
    assert run("view", saved / "plain", TEXT, "--output", output, "--force").exit_code == 0
    assert output.read_text(encoding="utf8").startswith("<!DOCTYPE html>")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_page_replaces_no_folder_and_is_not_written_below_a_file(saved, tmp_path):
    (tmp_path / "file").write_text("mine")
    for name in ("view", "compare"):
        args = [saved / "bert"] * (name == "compare")
        for output in (tmp_path, tmp_path / "file" / "page.html"):
            message = fail(name, saved / "bert", *args, TEXT, "--force", "--output", output)
            assert "[TB041]" in message
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("command", ["view", "compare"])
def test_a_page_that_fails_leaves_nothing(saved, tmp_path, monkeypatch, command):
    def fail_to_write(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr("pathlib.Path.write_text", fail_to_write)
    args = [saved / "bert"] * (command == "compare")
    result = run(command, saved / "bert", *args, TEXT, "-o", tmp_path / "a" / "b" / "page.html")
    assert result.exit_code == 1
    assert "[TB040]" in result.stderr
    assert not list(tmp_path.iterdir())


def test_layers_and_heads_need_the_style_attention(saved):
    assert "[TB049]" in fail("view", saved / "bert", TEXT, "--layer", "0")
    assert "[TB049]" in fail("view", saved / "bert", TEXT, "--head", 1, "--style", "similarity")


def test_a_port_in_use(saved):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name in ("view", "compare"):
            args = [saved / "bert"] * (name == "compare")
            message = fail(name, saved / "bert", *args, TEXT, "--serve", port)
            assert "[TB054]" in message
            assert str(port) in message
    with pytest.raises(ValueError, match=r"TB054.*70000: ports range from 0 to 65535\. Use"):
        open_server(70000)


def test_pipelines_without_a_transformer(fresh, tmp_path):
    nlp = fresh("bert")
    nlp.remove_pipe("trf_tok2vec")
    nlp.to_disk(tmp_path / "cut")
    assert "[TB043]" in fail("view", tmp_path / "cut", TEXT)
    assert "[TB044]" in fail("view", tmp_path / "none", TEXT)


@pytest.mark.loopback
def test_a_closed_connection_is_no_error(capfd):
    with open_server(0) as server:
        server.page = b"x" * 10_000_000  # more than a socket buffers
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.create_connection(server.server_address, timeout=30) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            client.recv(1)
        with build_opener(ProxyHandler({})).open(server.url, timeout=30) as answer:
            assert answer.read() == server.page
        server.shutdown()
        thread.join()
    assert capfd.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.loopback
def test_view_serves_the_page_and_nothing_else(saved, pipeline, tmp_path):
    args = [sys.executable, "-c", COMMAND, "trf", "view", saved / "plain", TEXT, "--serve", "0"]
    # Elsewhere than in the checkout, whose package is not the one that is installed.
    process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    # Reading from the process has no timeout, and ends when the process does.
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        printed = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", printed)):
            line = process.stderr.readline()
            assert line, f"ended before it served: {printed}"
            printed += line
        url = found.group()
        opener = build_opener(ProxyHandler({}))
        with opener.open(url, timeout=30) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            page = answer.read().decode("utf8")
        assert page == trf_bridge.render(pipeline("bert")(TEXT), page=True)
        with pytest.raises(OSError, match="404"):
            opener.open(f"{url}other", timeout=30)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=SECONDS) == 0, rest
        assert "Traceback" not in rest
        assert "Stopped serving" in rest
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


def test_compare_as_json(saved, pipeline):
    result = run("compare", saved / "bert", saved / "roberta", TEXT, "--json")
    found = json.loads(result.stdout)
    one = pipeline("bert", output_attentions=True)(TEXT)
    two = run_over(pipeline("roberta", output_attentions=True), one)
    assert found["tokens"] == [token.text for token in one]
    assert found["boundary"] is False
    for of_pipeline, doc in zip(found["pipelines"], (one, two), strict=True):
        for text, expected in zip(of_pipeline["texts"], read_attention(doc), strict=True):
            assert (text["start"], text["end"]) == (expected.tokens.start, expected.tokens.stop)
            tokens = expected.by_token(boundary=False)
            numpy.testing.assert_allclose(text["attention"], tokens, atol=1e-5)
    (comparison,) = found["comparisons"]
    expected = compare_attention(one, two)
    assert [comparison["one"], comparison["other"]] == [str(saved / n) for n in ("bert", "roberta")]
    numpy.testing.assert_allclose(comparison["overlap"], expected.overlap, atol=1e-5)
    assert [tuple(head.values())[:4] for head in comparison["heads"]] == [
        match[:4] for match in expected.matches()
    ]
    assert comparison["n_tokens"] == len(one)


def test_compare_needs_no_stored_attentions(saved):
    """The attention weights are computed for one run, whatever the config of the pipeline sets."""
    found = json.loads(run("compare", saved / "plain", saved / "roberta", TEXT, "--json").stdout)
    stored = json.loads(run("compare", saved / "bert", saved / "roberta", TEXT, "--json").stdout)
    for one, two in zip(found["pipelines"], stored["pipelines"], strict=True):
        for text, expected in zip(one["texts"], two["texts"], strict=True):
            numpy.testing.assert_allclose(text["attention"], expected["attention"], atol=1e-5)


def test_compare_as_tables(saved):
    result = run("compare", saved / "bert", saved / "roberta", saved / "bert", TEXT)
    assert result.exit_code == 0
    assert result.stdout.count("Mean overlap of a head") == 3
    rows = re.findall(r"^(\d+)((?: +\d\.\d\d \d+\.\d+)+) *$", result.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(LAYERS)) * 3
    assert all(len(re.findall(r"\d\.\d\d \d+\.\d+", row[1])) == HEADS for row in rows)
    for word in ("Apple", "rose", "sleep"):
        assert re.search(rf"^\d+ +{word} ", result.stdout, re.MULTILINE)


def test_compare_writes_a_page(saved, tmp_path):
    output = tmp_path / "page.html"
    result = run("compare", saved / "bert", saved / "roberta", TEXT, "-o", output, "--boundary")
    assert "Mean overlap" in result.stdout
    page = output.read_text(encoding="utf8")
    kinds = re.findall(r'<figure [^>]*data-kind="(\w+)"', page)
    assert kinds == ["overlap", "attention", "attention"]
    assert page.count('"level":"tokens"') == 2


def test_boundary_pieces_increase_the_overlap(saved):
    def mean(*options):
        result = run("compare", saved / "bert", saved / "roberta", TEXT, "--json", *options)
        return json.loads(result.stdout)["comparisons"][0]["mean_best"][0]

    assert mean("--boundary") > mean()


def test_compare_of_no_tokens(saved):
    result = run("compare", saved / "bert", saved / "roberta", "")
    assert result.exit_code == 0
    assert "Tokens: 0." in result.stdout
    found = json.loads(run("compare", saved / "bert", saved / "roberta", "", "--json").stdout)
    assert found["tokens"] == []
    assert found["comparisons"][0]["layers"] == []


def test_compare_needs_two_pipelines(saved):
    message = fail("compare", saved / "bert", TEXT)
    assert "[TB053]" in message
    assert "at least two pipelines" in message


@pytest.mark.parametrize("name", ["view", "compare"])
def test_help_has_an_example(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"python -m spacy trf {name} en_trf_bert" in result.stdout
