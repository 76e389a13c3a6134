"""Configs of spacy-transformers and spacy-curated-transformers, written for the tests."""

from __future__ import annotations

from pathlib import Path

from spacy.language import DEFAULT_CONFIG
from thinc.api import Config

SHARED = """
[nlp]
lang = "en"
pipeline = ["transformer","tagger","ner"]

[components]

[components.transformer]
factory = "transformer"
max_batch_items = 512

[components.transformer.set_extra_annotations]
@annotation_setters = "spacy-transformers.null_annotation_setter.v1"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = "CHECKPOINT"
tokenizer_config = {"use_fast":true}
transformer_config = {}
mixed_precision = false
grad_scaler_config = {}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 20
stride = 15

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "spacy.Tagger.v2"
nO = null

[components.tagger.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 0.5
upstream = "transformer"

[components.tagger.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[components.ner]
factory = "ner"

[components.ner.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "ner"
extra_state_tokens = false
hidden_width = 8
maxout_pieces = 2
use_upper = false
nO = null

[components.ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.ner.model.tok2vec.pooling]
@layers = "reduce_sum.v1"
"""

# A head after `nlp.replace_listeners`, in a pipeline without a shared transformer.
STANDALONE = """
[nlp]
lang = "en"
pipeline = ["tagger","morphologizer"]

[components]

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "spacy.Tagger.v2"

[components.tagger.model.tok2vec]
@architectures = "spacy-transformers.Tok2VecTransformer.v3"
name = "CHECKPOINT"
tokenizer_config = {"use_fast":false}
transformer_config = {}
mixed_precision = false
grad_scaler_config = {}
grad_factor = 1.0

[components.tagger.model.tok2vec.get_spans]
@span_getters = "spacy-transformers.doc_spans.v1"

[components.tagger.model.tok2vec.pooling]
@layers = "reduce_first.v1"

[components.morphologizer]
factory = "morphologizer"

[components.morphologizer.model]
@architectures = "spacy.Tagger.v2"

[components.morphologizer.model.tok2vec]
@architectures = "spacy-transformers.Tok2VecTransformer.v1"
name = "CHECKPOINT"
tokenizer_config = {}

[components.morphologizer.model.tok2vec.get_spans]
@span_getters = "spacy-transformers.doc_spans.v1"

[components.morphologizer.model.tok2vec.pooling]
@layers = "reduce_last.v1"
"""

CURATED = """
[nlp]
lang = "en"
pipeline = ["transformer","tagger"]

[components]

[components.transformer]
factory = "curated_transformer"
all_layer_outputs = false
frozen = false

[components.transformer.model]
@architectures = "spacy-curated-transformers.BertTransformer.v1"
vocab_size = 120
hidden_width = 16
num_hidden_layers = 2
num_attention_heads = 2
piece_encoder = {"@architectures":"spacy-curated-transformers.BertWordpieceEncoder.v1"}
mixed_precision = false

[components.transformer.model.with_spans]
@architectures = "spacy-curated-transformers.WithStridedSpans.v1"
window = 24
stride = 16
batch_size = 384

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "spacy.Tagger.v2"
nO = null

[components.tagger.model.tok2vec]
@architectures = "spacy-curated-transformers.LastTransformerLayerListener.v1"
width = ${components.transformer.model.hidden_width}
upstream = "transformer"
pooling = {"@layers":"reduce_mean.v1"}
grad_factor = 1.0

[initialize]

[initialize.components]

[initialize.components.transformer]

[initialize.components.transformer.encoder_loader]
@model_loaders = "spacy-curated-transformers.HFTransformerEncoderLoader.v1"
name = "CHECKPOINT"
revision = "main"

[initialize.components.transformer.piecer_loader]
@model_loaders = "spacy-curated-transformers.HFPieceEncoderLoader.v1"
name = "CHECKPOINT"
revision = "main"
"""


def parse(text: str, *changes: tuple[str, str], checkpoint: object = "owner/name") -> Config:
    """Parse a config.

    text (str): One of the texts above.
    *changes (tuple of str): Parts of the text, and what replaces them.
    checkpoint (object): The checkpoint to use.
    RETURNS (Config): The config, with its variables.
    """
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return Config().from_str(text.replace("CHECKPOINT", str(checkpoint)), interpolate=False)


def complete(config: Config) -> Config:
    """Add spaCy's own settings, such as the whole of [training]."""
    return DEFAULT_CONFIG.merge(config)


def write(config: Config, folder: Path) -> Path:
    """Write a complete config into a folder, and return the file."""
    file = folder / "old.cfg"
    complete(config).to_disk(file, interpolate=False)
    return file
