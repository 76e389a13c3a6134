"""The texts of the benchmark."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Name of the set -> its file in the folder `--data`.
DATA = {
    "en_ewt": "ud/en_ewt/en_ewt-ud-train.conllu",
    "movie_reviews": "prose/movie_reviews.jsonl",
}
SNIPS = "intent/snips"
LONG_DOCUMENT = 360_000
SHORT_DOCUMENT = 500


def read_texts(path: Path) -> Iterator[str]:
    """Read documents.

    path (Path): A .jsonl file with a "text" in each line, a .conllu file with marked documents, or
        a plain text file with one document per paragraph.
    YIELDS (str): The text of each.
    """
    lines = path.read_text(encoding="utf8").split("\n")
    if path.suffix == ".jsonl":
        yield from (json.loads(line)["text"] for line in lines if line.strip())
    elif path.suffix == ".conllu":
        sentences: list[str] = []
        for line in [*lines, "# newdoc"]:
            if line.startswith("# newdoc") and sentences:
                yield " ".join(sentences)
                sentences = []
            elif line.startswith("# text = "):
                sentences.append(line.removeprefix("# text = "))
    else:
        paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
        yield from (text.strip() for text in paragraphs if text.strip())


def own_texts(root: Path = ROOT) -> Iterator[str]:
    """Read the prose of the pages of this project, a small text that is always available.

    root (Path): The folder of the project.
    YIELDS (str): The paragraphs between two headings as one document.
    """
    for path in [*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md"))]:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf8"), flags=re.S | re.M)
        for section in re.split(r"^#.*$", text, flags=re.M):
            paragraphs = re.split(r"\n\s*\n|^- ", section, flags=re.M)
            prose = [" ".join(lines.split()) for lines in paragraphs if lines.strip()[:1].isalpha()]
            if prose:
                yield " ".join(prose)


def text_sets(data: Path | None, paths: Sequence[Path], limit: int) -> dict[str, list[str]]:
    """Load the text sets.

    data (Path): The folder with the files in `DATA`; None to skip them.
    paths (sequence of Path): Further files.
    limit (int): Maximum number of documents per set. Larger sets are sampled with a fixed seed.
    RETURNS (dict): The documents of each set, by name; the pages of this project if there are no
        other sets.
    """
    found = {name: data / path for name, path in DATA.items()} if data is not None else {}
    for path in paths:
        found[str(path) if path.stem in found else path.stem] = path
    for path in found.values():
        if not path.is_file():
            raise SystemExit(f"Expected a file, got {path}, which does not exist.")
    sets = {name: list(read_texts(path)) for name, path in found.items()}
    if not sets:
        sets = {"own pages": list(own_texts())}
    for name, texts in sets.items():
        if not texts:
            raise SystemExit(f"Expected texts in {found.get(name, name)}, got none.")
        if len(texts) > limit:
            sets[name] = random.Random(0).sample(texts, limit)
    return sets


def snips(data: Path) -> dict[str, list[tuple[str, str]]]:
    """Read SNIPS: short commands with one of seven intents.

    data (Path): The folder with the folder in `SNIPS`.
    RETURNS (dict): Text and intent of each, for the parts "train" and "validate".
    """
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "validate": []}
    for part, found in parts.items():
        for path in sorted((data / SNIPS).glob(f"{part}_*.json")):
            intent = path.stem.split("_")[1]
            entries = json.loads(path.read_text(encoding="utf8", errors="replace"))[intent]
            texts = ["".join(piece["text"] for piece in entry["data"]) for entry in entries]
            found.extend((text, intent) for text in texts)
    return parts


def short_documents(data: Path, limit: int) -> list[str]:
    """Sample commands of SNIPS, with a fixed seed.

    data (Path): The folder with the folder in `SNIPS`.
    limit (int): Maximum number of documents.
    RETURNS (list of str): The documents.
    """
    texts = [text for text, _ in snips(data)["train"]]
    return random.Random(0).sample(texts, min(limit, len(texts)))


def growing_documents(texts: Sequence[str], n_chars: int) -> dict[int, list[str]]:
    """Build a document from a text, and from 2, 4 and 8 repetitions of it.

    The sentences are repeated, so the distribution of their lengths stays the same.

    texts (sequence of str): The source documents.
    n_chars (int): Approximate number of characters of the smallest document.
    RETURNS (dict): A list of one document, by the number of repetitions.
    """
    base = take(texts, n_chars)
    return {times: ["\n\n".join(base * times)] for times in (1, 2, 4, 8)}


def growing_numbers(texts: Sequence[str], n_chars: int) -> dict[int, list[str]]:
    """Build 1, 2, 4 and 8 times as many documents; the arguments are those above."""
    base = take([text[:SHORT_DOCUMENT] for text in texts], n_chars)
    return {times: base * times for times in (1, 2, 4, 8)}


def take(texts: Sequence[str], n_chars: int) -> list[str]:
    """Take texts up to a number of characters, and repeat them if necessary."""
    taken: list[str] = []
    while sum(map(len, taken)) < n_chars:
        text = texts[len(taken) % len(texts)]
        taken.append(text[: n_chars - sum(map(len, taken))])
    return taken


def long_document(texts: Sequence[str], n_chars: int = LONG_DOCUMENT) -> str:
    """Build one document with a number of characters."""
    document = "\n\n".join(texts)
    return (document * (n_chars // max(len(document), 1) + 1))[:n_chars]


def streamed_documents(texts: Sequence[str], n_docs: int) -> list[str]:
    """Repeat the beginnings of the texts, so that the vocabulary does not grow."""
    return [texts[i % len(texts)][:SHORT_DOCUMENT] for i in range(n_docs)]


def short_texts(sentences: Sequence[Sequence[str]], n_texts: int) -> list[str]:
    """Select sentences of 8 to 20 words to measure latency.

    sentences (sequence of sequence of str): The sentences of each document.
    n_texts (int): Number of sentences; they are repeated if there are fewer.
    RETURNS (list of str, (n_texts,)): The sentences.
    """
    found = [text for doc in sentences for text in doc if 8 <= len(text.split()) <= 20]
    found = found or [text for doc in sentences for text in doc]
    random.Random(0).shuffle(found)
    return [found[i % len(found)] for i in range(n_texts)]
