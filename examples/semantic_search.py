"""Search texts by meaning: embed them once, then compare a query with all of them.

python examples/semantic_search.py "Where did the ship sink?"
python examples/semantic_search.py "Where did the ship sink?" --texts sentences.txt

The file has one text in each line. Without it, the texts are a few sentences.
"""

import argparse
import time
from pathlib import Path

import numpy
import spacy
from tqdm import tqdm

import trf_bridge

TEXTS = [
    "The ferry went down in a storm off the northern coast.",
    "Divers found the wreck at a depth of ninety metres.",
    "The recipe needs two eggs and a cup of sugar.",
    "Let the dough rest for an hour before you bake it.",
    "The central bank raised interest rates again.",
    "Shares of the company fell after the announcement.",
    "She learned to play the violin at the age of six.",
    "The orchestra opened the season with a symphony by Mahler.",
    "The train to the airport leaves every twenty minutes.",
    "All flights were cancelled because of the snow.",
]


def embed_texts(nlp, texts, pooling="mean"):
    """Compute the vectors of texts, an array (n_texts, width), with a progress bar."""
    docs = tqdm(nlp.pipe(texts), total=len(texts), unit="texts", disable=None)
    return trf_bridge.embed(docs, pooling=pooling)


def search(nlp, query, texts, vectors, n_best=5, pooling="mean"):
    """Find the texts that are most similar to a query. Returns pairs of cosine and text."""
    cosines = vectors @ trf_bridge.embed(nlp(query), pooling=pooling)
    best = numpy.argsort(-cosines)[:n_best]
    return [(float(cosines[i]), texts[i]) for i in best]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("query")
    parser.add_argument("--texts", type=Path, help="a file with one text in each line")
    parser.add_argument("--pipeline", default="en_trf_bert", help="a pipeline with a transformer")
    parser.add_argument("--pooling", default="mean", choices=["mean", "cls", "model"])
    parser.add_argument("--n-best", type=int, default=5)
    args = parser.parse_args(argv)
    texts = TEXTS
    if args.texts:
        lines = args.texts.read_text(encoding="utf8").splitlines()
        texts = [line.strip() for line in lines if line.strip()]
    # Models for sentence embeddings are trained on whole texts.
    whole = {"components": {"trf_wordpiecer": {"sentences": "doc"}}}
    nlp = spacy.load(args.pipeline, config=whole)
    start = time.perf_counter()
    vectors = embed_texts(nlp, texts, args.pooling)
    print(f"{len(texts)} texts in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    found = search(nlp, args.query, texts, vectors, args.n_best, args.pooling)
    print(f"search in {1000 * (time.perf_counter() - start):.1f} ms")
    for score, text in found:
        print(f"{score:.3f}  {text}")


if __name__ == "__main__":
    main()
