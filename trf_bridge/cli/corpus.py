"""Corpora: files with many texts."""

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
    """Read a corpus, and run what stands before the wordpiecer.

    nlp (Language): A pipeline that ends with the wordpiecer.
    path (Path): Text with one text a line, of which empty ones are left out; .jsonl whose records
        have a field "text"; or .spacy.
    wordpiecer (str): Name of the wordpiecer, which is not run.
    YIELDS (Doc): Each text, with sentences where the pipeline sets them.
    RAISES (ValueError): TB042, TB044.
    """
    check_file(path)
    if path.suffix == ".spacy":
        texts: Iterator[Any] = _read_docs(nlp, path)
    elif path.suffix == ".jsonl":
        texts = _read_records(path)
    else:
        texts = (line for line in read_lines(path) if line.strip())
    yield from nlp.pipe(texts, disable=[wordpiecer])


def _read_docs(nlp: Language, path: Path) -> Iterator[Doc]:
    from spacy.tokens import Doc, DocBin

    try:
        docs = DocBin().from_disk(path)
    except Exception as error:  # zlib's, msgpack's, and others
        reason = f"it can't be read ({type(error).__name__})"
        expected = "what DocBin.to_disk or spacy convert has written"
        raise ValueError(
            errors.TB044.format(path=path, reason=reason, expected=expected)
        ) from error
    # Prediction sees the tokens of a reference, and sets sentences of its own.
    for doc in docs.get_docs(nlp.vocab):
        words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
        yield Doc(nlp.vocab, words=words, spaces=spaces)


def _read_records(path: Path) -> Iterator[str]:
    import srsly

    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            text = srsly.json_loads(line)["text"]
        except (ValueError, TypeError, KeyError):
            text = None
        if not isinstance(text, str):
            reason = f"line {number} has no field text"
            expected = 'one JSON object with "text" on each line'
            raise ValueError(errors.TB044.format(path=path, reason=reason, expected=expected))
        yield text
