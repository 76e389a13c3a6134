"""Published vocabularies and texts, read from the folder shared/data beside the checkout."""

from __future__ import annotations

import json
import random
from functools import cache

from locations import SHARED
from small_data import read_conllu
from small_vocabularies import convert_xlnet

DATA = SHARED / "data"


N_TEXTS = 30  # of each source; the oracle compares every pair of token and wordpiece


TOKENIZERS = {
    "bert-base-uncased": "BertTokenizerFast",
    "bert-base-cased": "BertTokenizerFast",
    "bert-base-multilingual-cased": "BertTokenizerFast",
    "bert-base-chinese": "BertTokenizerFast",
    "roberta-base": "RobertaTokenizerFast",
    "gpt2": "GPT2TokenizerFast",
    "xlnet-base-cased": "XLNetTokenizerFast",
    "t5-small": "T5TokenizerFast",
    "openai-gpt": "OpenAIGPTTokenizerFast",
    "xlm-roberta-base_rebuilt": "XLMRobertaTokenizerFast",
}


@cache
def load_tokenizer(name):
    import transformers

    tokenizer_class = getattr(transformers, TOKENIZERS[name])
    folder = DATA / "tokenizers" / name
    options = {"do_lower_case": name.endswith("uncased")} if name.startswith("bert") else {}
    tokenizer = tokenizer_class.from_pretrained(folder, **options)
    if name.startswith("xlnet"):
        convert_xlnet(tokenizer, folder)
    return tokenizer


def sample(texts):
    texts = [text for text in texts if len(text) < 1500]
    return random.Random(0).sample(texts, min(N_TEXTS, len(texts)))


@cache
def naughty_strings():
    return json.loads((DATA / "unicode" / "blns.json").read_text(encoding="utf8"))


@cache
def paragraphs(lang):
    path = DATA / "multilingual" / "xquad" / f"xquad.{lang}.json"
    articles = json.loads(path.read_text(encoding="utf8"))["data"]
    return sample([p["context"] for article in articles for p in article["paragraphs"]])


@cache
def treebank(name):
    """Return words and spaces of sampled sentences of a treebank."""
    (path,) = (DATA / "ud" / name).glob("*-dev.conllu")
    sentences = read_conllu(path.read_text(encoding="utf8"))
    return random.Random(0).sample(sentences, N_TEXTS)
