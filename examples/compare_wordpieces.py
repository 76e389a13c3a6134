"""Compare spaCy's tokens with the wordpieces of several models.

python examples/compare_wordpieces.py
python examples/compare_wordpieces.py ./my-bert openai-community/gpt2 --text "Isn't it 北京?"

A checkpoint is a folder or a name on the Hugging Face hub. Only its config and its tokenizer are
read, not the weights. By default, seven well-known checkpoints are downloaded from the hub.
"""

import argparse
import shutil
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import spacy
from wasabi import row

CHECKPOINTS = [
    "google-bert/bert-base-uncased",
    "openai-community/openai-gpt",
    "openai-community/gpt2",
    "xlnet/xlnet-base-cased",
    "FacebookAI/roberta-base",
    "google-t5/t5-small",
    "FacebookAI/xlm-roberta-base",
]
TEXT = "Laced with dreams — dripping in reality, 東京's state-of-the-art café isn't cheap 👍🏽"
SPACING = 3


def tokenize(nlp, trf_name, text):
    """Split a text into the wordpieces of a checkpoint, as one input."""
    config = {"trf_name": trf_name, "sentences": "doc"}
    wordpiecer = nlp.create_pipe("trf_wordpiecer", config=config)
    wordpiecer.initialize(nlp=nlp)
    return wordpiecer(nlp.make_doc(text))


def make_column(name, doc):
    """List the wordpieces of each token, with a star if several tokens share a wordpiece."""
    pieces, boundary = doc._.trf_word_pieces_, doc._.trf_boundary
    n_tokens = Counter(row for rows in doc._.trf_alignment for row in rows)
    cells = []
    for rows in doc._.trf_alignment:
        own = [row for row in rows if not boundary[row]]
        cells.append(" ".join(pieces[i] + "*" * (n_tokens[i] > 1) for i in own))
    added = [piece for piece, is_boundary in zip(pieces, boundary, strict=True) if is_boundary]
    return [name, *cells, " ".join(added), str(len(pieces))]


def escape(text):
    """Replace characters that would not be visible, such as line breaks, and lone spaces."""
    if not text.strip(" "):
        return "␣" * len(text)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def width_of(text):
    """Return the number of columns that a text needs in a terminal."""
    width = 0
    for char in text:
        if unicodedata.category(char) not in ("Mn", "Me", "Cf"):
            width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width


def format_table(columns):
    """Format columns as a table. Each starts with a header and ends with two lines of totals."""
    columns = [[escape(cell) for cell in column] for column in columns]
    widths = [max(map(width_of, column)) for column in columns]
    divider = row(["-" * width for width in widths], widths=widths, spacing=SPACING)
    lines = []
    for cells in zip(*columns, strict=True):
        # wasabi takes widths in characters, not in columns of the terminal.
        n_chars = [n - width_of(cell) + len(cell) for n, cell in zip(widths, cells, strict=True)]
        lines.append(row(cells, widths=n_chars, spacing=SPACING).rstrip())
    return "\n".join([lines[0], divider, *lines[1:-2], divider, *lines[-2:]])


def fit(first, others, limit):
    """Distribute the columns over tables that fit the width of the terminal."""
    tables, room = [], 0
    for column in others:
        width = SPACING + max(width_of(escape(cell)) for cell in column)
        if not tables or width > room:
            tables.append([first])
            room = limit - max(width_of(escape(cell)) for cell in first)
        tables[-1].append(column)
        room -= width
    return tables


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="*", help="folders or names on the hub")
    parser.add_argument("--text", default=TEXT, help="the sentence")
    parser.add_argument("--lang", default="en", help="language of spaCy's tokenizer")
    args = parser.parse_args(argv)

    nlp = spacy.blank(args.lang)
    names = args.checkpoints or CHECKPOINTS
    try:
        columns = [make_column(Path(name).name, tokenize(nlp, name, args.text)) for name in names]
    except ValueError as error:  # an unknown checkpoint, or no network
        sys.exit(str(error))
    tokens = ["token", *(token.text for token in nlp.make_doc(args.text)), "boundary", "wordpieces"]
    limit = shutil.get_terminal_size(fallback=(160, 24)).columns
    for columns_that_fit in fit(tokens, columns, limit):
        print(format_table(columns_that_fit) + "\n")
    if any("*" in cell for column in columns for cell in column[1:-2]):
        print("* shared by several tokens")


if __name__ == "__main__":
    main()
