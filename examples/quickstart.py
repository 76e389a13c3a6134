"""Show the wordpieces, the vectors and the similarity of spaCy's tokens.

python examples/quickstart.py
"""

import sys
from collections import Counter

import spacy
from wasabi import color, table

TEXTS = [
    "Laced with dreams — dripping in reality, this story of a late start finally sings.",
    "Unbelievably, Wittgenstein's neighbours didn't mind the tuba.",
    "spaCy costs $0.00. Its stickers aren't free, though.",
]


def show_alignment(doc):
    """Print the wordpieces of each token, and their weights.

    A wordpiece that n tokens share has the weight 1/n for each of them. All tokens of a sentence
    share its boundary pieces, [CLS] and [SEP].
    """
    shares = Counter(row for rows in doc._.trf_alignment for row in rows)
    lines = []
    for token in doc:
        own, boundary = [], []
        for row in token._.trf_alignment:
            link = f"{doc._.trf_word_pieces_[row]} {weight(shares[row])}"
            (boundary if doc._.trf_boundary[row] else own).append(link)
        lines.append((token.text, "  ".join(own), "  ".join(boundary)))
    header = ("token", "wordpieces and weights", "boundary pieces")
    print(table(lines, header=header, divider=True, max_col=50))


def weight(n_tokens):
    """Format the weight of a wordpiece that n tokens share."""
    return "1" if n_tokens == 1 else f"1/{n_tokens}"


def show_shapes(doc):
    """Print the shapes of the arrays, and their equal sums."""
    states = doc._.trf_last_hidden_state
    print(f"doc.tensor                   {doc.tensor.shape}   tokens, width")
    print(f"doc._.trf_last_hidden_state  {states.shape}   wordpieces, width")
    print(f"nothing is lost: the sums are {doc.tensor.sum():.3f} and {states.sum():.3f}\n")


def show_similarity(nlp):
    """Compare one word in three sentences: its vector depends on its context."""
    text = "Apple shares rose on the news."
    apple = nlp(text)[0]
    print_heading(f"Similarity of Apple in '{text}' to Apple in")
    for other in ["Apple sold fewer iPhones this quarter.", "Apple pie is delicious."]:
        print(f"  {apple.similarity(nlp(other)[0]):.3f}  {other}")


def print_heading(text):
    """Print a heading, in color on a terminal."""
    print(color(text, fg="cyan", bold=True) if sys.stdout.isatty() else text)


def main():
    nlp = spacy.load("en_trf_bert")
    for doc in nlp.pipe(TEXTS):
        print_heading(doc.text)
        show_alignment(doc)
        show_shapes(doc)
    show_similarity(nlp)


if __name__ == "__main__":
    main()
