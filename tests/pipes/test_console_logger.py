"""The logger of `spacy train` shows what spaCy's own logger shows, with whole names."""

from __future__ import annotations

import io
import json
import re

import pytest
import spacy
from spacy.training.loggers import console_logger_v3
from tqdm import tqdm

from trf_bridge.pipes import console_logger
from trf_bridge.pipes.console_logger import make_console_logger

STEPS = [(0, 0), (0, 100), (1, 200), (2, 300)]
WORDS = [50, 5050, 10_050, 15_050]


class Terminal(io.StringIO):
    """A stream that progress bars are shown on."""

    def isatty(self):
        return True


@pytest.fixture
def nlp(pipeline):
    made = spacy.blank("en")
    made.add_pipe("sentencizer")
    made.add_pipe("trf_tok2vec")
    made.add_pipe("textcat_multilabel", name="a_name_with_many_letters")
    made.config["training"].update(
        max_steps=400,
        eval_frequency=100,
        score_weights={"cats_macro_auc_per_type": None, "cats_micro_f": 1.0, "speed": 0.0},
    )
    return made


def make_infos():
    for number, ((epoch, step), words) in enumerate(zip(STEPS, WORDS, strict=True)):
        losses = {"trf_tok2vec": 12.345 * number, "a_name_with_many_letters": 1234.5}
        yield {
            "epoch": epoch,
            "step": step,
            "losses": losses,
            "other_scores": {"cats_micro_f": 0.25 * number, "speed": 1234.567},
            "score": 0.125 * number,
            "seconds": number,
            "words": words,
        }


def log(start, nlp, stream=None):
    """Log four evaluations with steps between them. Return the output."""
    stdout = io.StringIO()
    log_step, finish = start(nlp, stdout, stream or io.StringIO())
    for number, info in enumerate(make_infos()):
        for _ in range(99 if number else 0):
            log_step(None)
        log_step(info)
    finish()
    return stdout.getvalue()


def cells(output):
    return [line.split() for line in output.splitlines() if re.match(r" *\d", line)]


def test_rows_are_those_of_spacy_with_two_more_columns(nlp):
    ours, spacys = log(make_console_logger(), nlp), log(console_logger_v3(), nlp)
    assert len(cells(ours)) == len(STEPS)
    assert [row[:-2] for row in cells(ours)] == cells(spacys)


def test_names_of_columns_are_whole(nlp):
    header, line, *_ = log(make_console_logger(), nlp).splitlines()
    weights = nlp.config["training"]["score_weights"]
    scores = [name.upper() for name, weight in weights.items() if weight is not None]
    losses = ["LOSS TRF_TOK2VEC", "LOSS A_NAME_WITH_MANY_LETTERS"]
    expected = ["E", "#", *losses, *scores, "SCORE", "WORDS/S", "LEFT"]
    assert re.split(r" {2,}", header.strip()) == expected
    assert None in weights.values()
    assert max(map(len, scores)) > 8
    # Each name is above the dashes of its column.
    for match in re.finditer(r"-+", line):
        assert len(match[0]) >= len(header[match.start() : match.end()].strip()) > 0


def test_file_is_that_of_spacy(nlp, tmp_path):
    files = [tmp_path / "new" / "ours.jsonl", tmp_path / "spacys.jsonl"]
    for make, path in zip((make_console_logger, console_logger_v3), files, strict=True):
        assert str(path) in log(make(output_file=path), nlp)
    ours, spacys = (path.read_text(encoding="utf8") for path in files)
    assert ours == spacys
    assert [json.loads(line)["step"] for line in ours.splitlines()] == [step for _, step in STEPS]


def test_an_existing_file_is_not_changed(nlp, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("mine")
    output = log(make_console_logger(output_file=str(path)), nlp)
    assert "already exists" in " ".join(output.split())
    assert len(cells(output)) == len(STEPS)
    assert path.read_text() == "mine"


def test_output_can_be_turned_off(nlp, tmp_path):
    path, bar = tmp_path / "log.jsonl", Terminal()
    start = make_console_logger(console_output=False, output_file=path)
    assert not cells(log(start, nlp, bar))
    assert len(path.read_text().splitlines()) == len(STEPS)
    assert bar.getvalue() == ""


def test_words_per_second_and_remaining_time(nlp, monkeypatch):
    """Of the steps since the row before, evaluation included."""
    clock = iter([0.0, 5.0, 5.0, 15.0, 15.0, 40.0, 40.0, 65.0, 65.0])
    monkeypatch.setattr(console_logger.time, "perf_counter", lambda: next(clock))
    rows = [row[-2:] for row in cells(log(make_console_logger(progress_bar=None), nlp))]
    # 35 seconds for 200 steps leave 35 seconds for the next 200.
    assert rows == [["10", "-"], ["500", "00:30"], ["200", "00:35"], ["200", "00:20"]]


def test_no_remaining_time_without_a_maximum(nlp):
    nlp.config["training"]["max_steps"] = 0
    assert {row[-1] for row in cells(log(make_console_logger(), nlp, Terminal()))} == {"-"}


@pytest.mark.parametrize(("kind", "total", "last"), [("train", 400, 300), ("eval", 100, 99)])
def test_progress_bar_counts_steps(nlp, kind, total, last, monkeypatch):
    class Eager(tqdm):
        """A bar that is drawn at every step, however little time has passed."""

        def __init__(self, **options):
            super().__init__(mininterval=0, miniters=1, **options)

    monkeypatch.setattr(console_logger, "tqdm", Eager)
    bar = Terminal()
    log(make_console_logger(progress_bar=kind), nlp, bar)
    counts = [int(n) for n in re.findall(rf"(\d+)/{total} \[", bar.getvalue())]
    assert max(counts) == last
    assert set(counts) >= {0, 50, last}
    assert "Epoch 2" in bar.getvalue()
    assert bar.getvalue().rstrip(" ").endswith("\r")  # removed at the end


def test_progress_bar_is_on_by_default_and_for_terminals_only(nlp):
    terminal, file = Terminal(), io.StringIO()
    log(make_console_logger(), nlp, terminal)
    log(make_console_logger(), nlp, file)
    assert "/400 [" in terminal.getvalue()
    assert file.getvalue() == ""
    off = Terminal()
    log(make_console_logger(progress_bar=None), nlp, off)
    assert off.getvalue() == ""


def test_wrong_settings_and_scores(nlp):
    with pytest.raises(ValueError, match=r"\[TB008\] .*progress_bar"):
        make_console_logger(progress_bar="all")
    info = {**next(make_infos()), "other_scores": {"cats_micro_f": {"A": 1.0}}}
    for make in (make_console_logger, console_logger_v3):
        log_step, _ = make()(nlp, io.StringIO(), io.StringIO())
        with pytest.raises(ValueError, match="E916"):
            log_step(info)


def test_registered_logger_takes_the_settings_of_a_config(nlp, tmp_path):
    config = {"@loggers": "trf_bridge.ConsoleLogger.v1", "output_file": str(tmp_path / "log.jsonl")}
    start = spacy.registry.resolve({"logger": config})["logger"]
    assert len(cells(log(start, nlp))) == len(STEPS)
    assert (tmp_path / "log.jsonl").is_file()
