"""The logger of `spacy train`: whole names, words per second and the remaining time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import srsly
from spacy.errors import Errors
from tqdm import tqdm
from wasabi.printer import Printer

from ..settings import check_choice

if TYPE_CHECKING:
    from spacy.language import Language

Info: TypeAlias = dict[str, Any]
LogStep: TypeAlias = Callable[[Info | None], None]

# The columns after those of spaCy's own logger.
SPEED, REMAINING = "Words/s", "Left"
PROGRESS = ("train", "eval")
SPACING = 2


def make_console_logger(
    progress_bar: str | None = "train",
    console_output: bool = True,
    output_file: str | Path | None = None,
) -> Callable[..., tuple[LogStep, Callable[[], None]]]:
    """Create a logger that prints a row for each evaluation, and a progress bar below.

    It has the settings of spaCy's `ConsoleLogger.v3` and writes the same file, but does not shorten
    the names of columns. Two columns are new: the words of the training data per second since the
    row before, evaluation included, and the time until the maximum number of steps. Training ends
    earlier if the score does not improve.

    progress_bar (str): What the bar counts: "train" for all steps of the training, "eval" for the
        steps until the next evaluation, null for no bar. It is shown on a terminal only.
    console_output (bool): Print the table and the bar.
    output_file (str, Path): A file for the rows, as JSON lines. An existing file is not changed;
        null for none.
    RETURNS (callable): A function of the pipeline and of two streams, which returns a function for
        each step of the training and one for its end.
    RAISES (ValueError): TB008.
    """
    if progress_bar is not None:
        check_choice("progress_bar", progress_bar, PROGRESS)
    path = Path(output_file) if output_file else None
    exists = path is not None and path.exists()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)

    def start(
        nlp: Language, stdout: IO[str] = sys.stdout, stderr: IO[str] = sys.stderr
    ) -> tuple[LogStep, Callable[[], None]]:
        message, rows = Printer(no_print=True), None
        if path is not None and exists:
            text = f"Saving logs is disabled because {path} already exists."
            stdout.write(f"{message.warn(text)}\n")
        elif path is not None:
            stdout.write(f"{message.info(f'Saving results to {path}')}\n")
            rows = path.open("w", encoding="utf8")
        logger = TrainingLogger(
            nlp,
            table=stdout if console_output else None,
            bar=stderr if console_output and progress_bar else None,
            rows=rows,
            until=progress_bar or "train",
        )
        return logger.log_step, logger.finish

    return start


class TrainingLogger:
    """Writes a row for each evaluation of one training."""

    def __init__(
        self,
        nlp: Language,
        *,
        table: IO[str] | None,
        bar: IO[str] | None,
        rows: IO[str] | None,
        until: str = "train",
    ) -> None:
        """Print the header of the table.

        nlp (Language): The pipeline, without frozen components.
        table, bar, rows (stream): Where the table, the progress bar and the lines of JSON are
            written; None for nowhere.
        until (str): What the bar counts, "train" or "eval".
        """
        training = nlp.config["training"]
        self._max_steps: int = training["max_steps"]
        self._eval_frequency: int = training["eval_frequency"]
        self._until = until
        self._table, self._bar_stream, self._rows = table, bar, rows
        self._bar: Any = None
        self._printer = Printer(no_print=True)
        # As in spaCy: only components with weights have a loss, and null hides a score.
        self._components = [name for name, pipe in nlp.pipeline if _is_trainable(pipe)]
        weights = training["score_weights"]
        self._scores = [name for name, weight in weights.items() if weight is not None]
        losses = [f"Loss {name}" for name in self._components]
        columns = ["E", "#", *losses, *self._scores, "Score", SPEED, REMAINING]
        least = [3, 6, *[8] * len(losses), *[6] * len(self._scores), 6, 7, 8]
        self._widths = [max(len(name), n) for name, n in zip(columns, least, strict=True)]
        self._last_time, self._last_words = time.perf_counter(), 0
        self._first_time: float | None = None
        self._print_row([name.upper() for name in columns], aligned=False)
        self._print_row(["-" * width for width in self._widths], aligned=False)

    def log_step(self, info: Info | None) -> None:
        """Write a row after an evaluation, and move the bar after any other step.

        info (dict): What spaCy's training loop returns for the step; None without an evaluation.
        RAISES (ValueError): spaCy's E916 for a score that is not a number.
        """
        if info is None:
            if self._bar is not None:
                self._bar.update(1)
            return
        losses = {name: float(info["losses"].get(name, 0.0)) for name in self._components}
        scores = {name: _read_score(info["other_scores"], name) for name in self._scores}
        score = float(info["score"])
        if self._rows is not None:
            line = {"losses": losses, "scores": scores, "score": score}
            record = {"epoch": info["epoch"], "step": info["step"], **line}
            self._rows.write(f"{srsly.json_dumps(record)}\n")
        numbers = [*losses.values(), *scores.values(), score]
        cells = [str(info["epoch"]), str(info["step"]), *(f"{number:.2f}" for number in numbers)]
        if self._bar is not None:
            self._bar.clear()
        self._print_row([*cells, self._speed(info["words"]), self._remaining(info["step"])])
        self._show_bar(info)

    def finish(self) -> None:
        """Remove the bar, and close the file."""
        if self._bar is not None:
            self._bar.close()
        if self._rows is not None:
            self._rows.close()

    def _print_row(self, cells: list[str], *, aligned: bool = True) -> None:
        if self._table is None:
            return
        aligns = ["r"] * len(cells) if aligned else None
        row = self._printer.row(cells, widths=self._widths, aligns=aligns, spacing=SPACING)
        self._table.write(f"{row}\n")
        self._table.flush()

    def _speed(self, words: int) -> str:
        """Return the words per second since the last row."""
        now = time.perf_counter()
        seconds, n_words = now - self._last_time, words - self._last_words
        self._last_time, self._last_words = now, words
        return f"{n_words / seconds:,.0f}" if seconds else "-"

    def _remaining(self, step: int) -> str:
        """Return the time until the maximum number of steps, at the mean speed since the first row.

        The first row is for step 0, which is evaluated like every `eval_frequency`-th step.
        """
        if self._first_time is None:
            self._first_time = time.perf_counter()
        if not self._max_steps or not step:
            return "-"
        seconds = (time.perf_counter() - self._first_time) / step * (self._max_steps - step)
        return str(tqdm.format_interval(max(0.0, seconds)))

    def _show_bar(self, info: Info) -> None:
        """Show the bar below the new row."""
        if self._bar_stream is None:
            return
        counts_all = self._until == "train"
        if self._bar is None:
            total = self._max_steps if counts_all else self._eval_frequency
            # disable=None: no bar where the stream is not a terminal. smoothing=0: the mean speed,
            # which includes evaluations.
            self._bar = tqdm(
                total=total or None,
                disable=None,
                leave=False,
                file=self._bar_stream,
                unit="step",
                smoothing=0,
            )
        elif not counts_all:
            self._bar.reset()
        else:
            self._bar.update(info["step"] - self._bar.n)
        label = f"Epoch {info['epoch']}" if counts_all else f"Epoch {info['epoch'] + 1}"
        self._bar.set_description(label)


def _is_trainable(component: Any) -> bool:
    return bool(getattr(component, "is_trainable", False))


def _read_score(scores: Info, name: str) -> float:
    """Return a score as spaCy's own logger shows it: as a percentage, except for the speed."""
    score = scores.get(name, 0.0)
    try:
        value = float(score)
    except TypeError:
        raise ValueError(Errors.E916.format(name=name, score_type=type(score))) from None
    return value if name == "speed" else 100 * value
