"""Prediction against plain transformers: the same sentences in the same batches, interleaved.

    python benchmarks/predict.py --checkpoint FOLDER TEXTS

TEXTS is a .jsonl file with a "text" in each line, a .conllu file, or a plain text file with one
document per paragraph. Prints tokens per second of both, the ratio, and how far the outputs lie
apart; writes the same as JSON to benchmarks/results/predict.json.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
import transformers
from spacy.tokens import Doc
from transformers import AutoModel, AutoTokenizer

import trf_bridge
from trf_bridge.wrappers.subbatch import make_subbatches

RESULTS = Path(__file__).resolve().parent / "results" / "predict.json"
WORDS_PER_BATCH = 3000


def read_texts(path: Path) -> Iterator[str]:
    """Read documents."""
    lines = path.read_text(encoding="utf8").splitlines()
    if path.suffix == ".jsonl":
        yield from (json.loads(line)["text"] for line in lines)
    elif path.suffix == ".conllu":
        sentences: list[str] = []
        for line in [*lines, "# newdoc"]:
            if line.startswith("# newdoc") and sentences:
                yield " ".join(sentences)
                sentences = []
            elif line.startswith("# text = "):
                sentences.append(line[len("# text = ") :])
    else:
        yield from path.read_text(encoding="utf8").split("\n\n")


class Plain:
    """What one would write without spaCy: sort by length, pad, run, cut the padding off."""

    def __init__(self, checkpoint: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = AutoModel.from_pretrained(checkpoint).eval()

    def __call__(self, sentences: list[str]) -> list[numpy.ndarray]:
        encoded = self.tokenizer(sentences, truncation=True)
        lengths = numpy.asarray([len(ids) for ids in encoded["input_ids"]])
        outputs: list[numpy.ndarray] = [numpy.empty(0)] * len(sentences)
        for indices in make_subbatches(lengths, WORDS_PER_BATCH):
            picked = {name: [values[i] for i in indices] for name, values in encoded.items()}
            batch = self.tokenizer.pad(picked, return_tensors="pt")
            with torch.inference_mode():
                hidden = self.model(**batch).last_hidden_state
            for row, i in zip(hidden, indices, strict=True):
                outputs[i] = row[: lengths[i]].numpy().copy()
        return outputs


def difference(docs: list[Doc], plain: list[numpy.ndarray]) -> tuple[float, float]:
    """The largest difference of an output, and of the sums over tokens and over wordpieces."""
    apart = lost = 0.0
    for doc in docs:
        n = len(doc._.trf_segments)
        theirs, plain = numpy.concatenate(plain[:n]), plain[n:]
        ours = doc._.trf_last_hidden_state
        apart = max(apart, float(numpy.abs(ours - theirs).max()))
        sums = doc.tensor.sum(0, dtype="float64"), ours.sum(0, dtype="float64")
        lost = max(lost, float(numpy.abs(sums[0] - sums[1]).max() / numpy.abs(sums[1]).max()))
    return apart, lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--limit", type=int, default=300, help="documents to use")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    texts = list(read_texts(args.texts))[: args.limit]
    nlp = trf_bridge.from_pretrained(args.checkpoint, words_per_batch=WORDS_PER_BATCH)
    plain = Plain(args.checkpoint)
    docs = list(nlp.pipe(texts, batch_size=args.batch_size))  # warms up, and knows the sentences
    seconds: dict[str, list[float]] = {"bridge": [], "plain": []}
    for _ in range(args.rounds):
        start = time.perf_counter()
        docs = list(nlp.pipe(texts, batch_size=args.batch_size))
        seconds["bridge"].append(time.perf_counter() - start)
        outputs: list[numpy.ndarray] = []
        batches = [docs[i : i + args.batch_size] for i in range(0, len(docs), args.batch_size)]
        start = time.perf_counter()
        for batch in batches:
            outputs += plain([span.text for doc in batch for span in doc._.trf_segments])
        seconds["plain"].append(time.perf_counter() - start)
    n_tokens = sum(map(len, docs))
    apart, lost = difference(docs, outputs)
    pairs = zip(seconds["bridge"], seconds["plain"], strict=True)
    results = {
        "documents": len(docs),
        "tokens": n_tokens,
        "wordpieces": sum(len(doc._.trf_word_pieces) for doc in docs),
        "bridge_tokens_per_second": n_tokens / statistics.median(seconds["bridge"]),
        "plain_tokens_per_second": n_tokens / statistics.median(seconds["plain"]),
        "time_ratio": statistics.median(bridge / other for bridge, other in pairs),
        "largest_difference": apart,
        "sum_difference": lost,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
