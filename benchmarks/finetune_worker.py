"""Train one system in a separate process, in blocks of steps on request.

Reads lines from standard input. `train N` runs N steps and prints the seconds. `score` prints the
score on the evaluation part. `score PRECISION` does so after saving the trained pipeline and
loading it in another precision. The process runs in the environment of this project or of
spacy-transformers 1.4, so each is imported only where it is the measured system.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.iob_utils import iob_to_biluo
from thinc.api import Adam, fix_random_seed

from ablation import ALL, TRICKS, switched_off
from texts import snips

SCORES = {
    "snips": "cats_macro_f",
    "cooking": "cats_macro_auc",
    "tagger": "tag_acc",
    "ner": "ents_f",
}


def read_snips(folder, vocab):
    """Read SNIPS: short commands with one of seven intents."""
    parts = snips(folder)
    labels = sorted({intent for _, intent in parts["train"]})
    tokenizer = spacy.blank("en").tokenizer
    train, evaluation = (
        [
            Example.from_dict(tokenizer(text), {"cats": {la: float(la == intent) for la in labels}})
            for text, intent in part
        ]
        for part in parts.values()
    )
    return train, evaluation


def read_cooking(folder, vocab):
    """Read questions about cooking with several tags each."""

    def read(part):
        nlp = spacy.blank("en")
        path = folder / f"textcat/cooking_multilabel/cooking-{part}.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
        return [Example.from_dict(nlp.make_doc(row["text"]), {"cats": row["cats"]}) for row in rows]

    return read("train"), read("dev")[:1000]


def read_columns(path):
    """Read a file of columns and yield the rows of each sentence."""
    sentence = []
    for line in [*path.read_text(encoding="utf8").splitlines(), ""]:
        if not line.strip():
            if sentence:
                yield sentence
            sentence = []
        elif not line.startswith("# "):
            sentence.append(line.split("\t"))


def read_tagger(folder, vocab):
    """Read the fine-grained tags of English Web Treebank."""

    def read(part):
        examples = []
        for rows in read_columns(folder / f"ud/en_ewt/en_ewt-ud-{part}.conllu"):
            rows = [row for row in rows if row[0].isdigit()]
            words = [row[1] for row in rows]
            spaces = ["SpaceAfter=No" not in row[9] for row in rows]
            doc = Doc(vocab, words=words, spaces=spaces)
            examples.append(Example.from_dict(doc, {"tags": [row[4] for row in rows]}))
        return examples

    return read("train"), read("dev")


def read_ner(folder, vocab):
    """Read the entities of WNUT 17."""

    def read(part):
        examples = []
        for rows in read_columns(folder / f"ner/wnut17/{part}.conll"):
            words, labels = [row[0] for row in rows], [row[1] for row in rows]
            doc = Doc(vocab, words=words)
            examples.append(Example.from_dict(doc, {"entities": iob_to_biluo(labels)}))
        return examples

    return read("train"), read("dev")


READERS = {
    "snips": read_snips,
    "cooking": read_cooking,
    "tagger": read_tagger,
    "ner": read_ner,
}


def bridge_pipeline(checkpoint, task, **settings):
    """Build the pipeline of this project."""
    import trf_bridge

    nlp = trf_bridge.from_pretrained(checkpoint, **settings)
    listener = {"@architectures": "trf_bridge.Tok2VecListener.v1", "grad_factor": 1.0}
    if task in ("snips", "cooking"):
        model = {
            "@architectures": "trf_bridge.TextCatMean.v1",
            "exclusive_classes": task == "snips",
        }
        nlp.add_pipe("trf_textcat", config={"model": model})
    else:
        nlp.add_pipe(task, config={"model": head(task, listener)})
    return nlp


def peer_pipeline(checkpoint, task):
    """Build the pipeline of spacy-transformers."""
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": checkpoint,
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": 128,
            "stride": 96,
        },
    }
    nlp.add_pipe("transformer", config={"model": model})
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "grad_factor": 1.0,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    if task in ("snips", "cooking"):
        model = {
            "@architectures": "spacy.TextCatReduce.v1",
            "exclusive_classes": task == "snips",
            "use_reduce_mean": True,
            "use_reduce_max": False,
            "use_reduce_first": False,
            "use_reduce_last": False,
            "tok2vec": listener,
        }
        name = "textcat" if task == "snips" else "textcat_multilabel"
        nlp.add_pipe(name, config={"model": model})
    else:
        nlp.add_pipe(task, config={"model": head(task, listener)})
    return nlp


def head(task, listener):
    """Return the config of the tagger or of the entity recognizer."""
    if task == "tagger":
        return {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 64,
        "maxout_pieces": 2,
        "use_upper": False,
        "tok2vec": listener,
    }


class PlainClassifier:
    """Store the same text classifier for a plain torch loop with torch's optimizer.

    Has the methods of a pipeline that the loop in `main` calls. Texts are padded to the longest
    one of a batch.
    """

    def __init__(self, checkpoint, task):
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if task != "snips":
            raise SystemExit("The plain loop supports the task 'snips' only.")
        self.vocab = spacy.blank("en").vocab
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).train()
        self.pipeline = [("model", self)]

    def initialize(self, get_examples):
        self.labels = sorted(get_examples()[0].reference.cats)
        self.head = torch.nn.Linear(self.model.config.hidden_size, len(self.labels))
        self.parameters = [*self.model.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, weight_decay=0.01, fused=True)

    def update(self, examples, sgd, drop):
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = drop
        texts = [example.reference.text for example in examples]
        cats = [example.reference.cats for example in examples]
        gold = torch.tensor([[values[label] for label in self.labels] for values in cats])
        batch = self.tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
        mask = batch["attention_mask"].unsqueeze(-1)
        rows = self.model(**batch).last_hidden_state
        scores = self.head((rows * mask).sum(1) / mask.sum(1))
        torch.nn.functional.cross_entropy(scores, gold.argmax(1)).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = sgd.learn_rate
        self.optimizer.step()
        self.optimizer.zero_grad()


def in_precision(nlp, precision):
    """Save a pipeline and load it in another precision."""
    with tempfile.TemporaryDirectory() as folder:
        nlp.to_disk(folder)
        config = {"components.trf_tok2vec.model.precision": precision}
        return spacy.load(folder, config=config)


BUILDERS = {"bridge": bridge_pipeline, "peer": peer_pipeline, "plain": PlainClassifier}


def main():
    """Parse the command line and train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system", choices=list(BUILDERS))
    parser.add_argument("task", choices=list(READERS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--learn-rate", type=float, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--without", choices=[ALL, *TRICKS], default=ALL)
    args = parser.parse_args()
    with switched_off(args.without) as settings:
        run(args, settings)


def run(args, settings):
    """Build the pipeline with some settings, and train it until standard input is closed."""
    fix_random_seed(args.seed)
    nlp = BUILDERS[args.system](args.checkpoint, args.task, **settings)
    train, evaluation = READERS[args.task](args.data, nlp.vocab)
    nlp.initialize(lambda: train[:2000])
    # Both systems see the same batches in the same order, at the same rates.
    shuffled = random.Random(args.seed)
    batches = [shuffled.sample(train, args.batch) for _ in range(args.steps)]
    optimizer = Adam(args.learn_rate, L2=0.01, grad_clip=1.0)
    print(json.dumps({"threads": torch.get_num_threads()}), flush=True)
    done = 0
    for line in sys.stdin:
        command = line.split()
        start = time.perf_counter()
        if command[0] == "train":
            for batch in batches[done : done + int(command[1])]:
                warm = min(1.0, (done + 1) / (0.1 * args.steps))
                optimizer.learn_rate = args.learn_rate * warm * (1 - done / args.steps)
                nlp.update(batch, sgd=optimizer, drop=0.1)
                done += 1
            # Access to the weights runs the pending step of the last batch within this block.
            weights = [pipe.model for _, pipe in nlp.pipeline if hasattr(pipe, "model")]
            assert weights
            answer = {"seconds": time.perf_counter() - start}
        else:
            scored = in_precision(nlp, command[1]) if len(command) > 1 else nlp
            scores = scored.evaluate(evaluation)
            answer = {"score": scores[SCORES[args.task]]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
