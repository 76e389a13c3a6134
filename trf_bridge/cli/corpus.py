"""Read corpora: files with many texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from .console import check_file, read_lines

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


def read_corpus(nlp: Language, path: Path, wordpiecer: str) -> Iterator[Doc]:
    """Read a corpus, and run the components before the wordpiecer over it.

    nlp (Language): The pipeline.
    path (Path): A file: one text per line, empty lines skipped; .jsonl with a field "text"; or
        .spacy.
    wordpiecer (str): Name of the wordpiecer. It is not run, and neither are the components after
        it.
    YIELDS (Doc): Each text, with sentence boundaries if the pipeline sets them.
    RAISES (ValueError): TB042, TB044.
    """
    check_file(path)
    if path.suffix == ".spacy":
        texts: Iterator[Any] = _read_docs(nlp, path)
    elif path.suffix == ".jsonl":
        texts = _read_records(path)
    else:
        texts = (line for line in read_lines(path) if line.strip())
    later = nlp.pipe_names[nlp.pipe_names.index(wordpiecer) :]
    yield from nlp.pipe(texts, disable=later)


def _read_docs(nlp: Language, path: Path) -> Iterator[Doc]:
    """Read the texts and tokens of a .spacy file."""
    from spacy.tokens import Doc, DocBin

    try:
        docs = DocBin().from_disk(path)
    except Exception as error:  # from zlib, msgpack and others
        reason = f"it can't be read ({type(error).__name__})"
        expected = "a file written by DocBin.to_disk or spacy convert"
        raise ValueError(
            errors.TB044.format(path=path, reason=reason, expected=expected)
        ) from error
    # As in training, only the tokens of a reference are used; the pipeline sets the sentences.
    for doc in docs.get_docs(nlp.vocab):
        words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
        yield Doc(nlp.vocab, words=words, spaces=spaces)


def _read_records(path: Path) -> Iterator[str]:
    """Read the texts of a .jsonl file."""
    import srsly

    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            text = srsly.json_loads(line)["text"]
        except (ValueError, TypeError, KeyError):
            text = None
        if not isinstance(text, str):
            reason = f'line {number} is not a JSON object with a text in the field "text"'
            expected = "one such object on each line"
            raise ValueError(errors.TB044.format(path=path, reason=reason, expected=expected))
        yield text
