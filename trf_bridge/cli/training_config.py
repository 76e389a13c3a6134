"""Build training configs: heads on a transformer, with every field filled in."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thinc.api import Config

from .. import errors
from .console import quiet_downloads, steps
from .pipelines import (
    TRANSFORMER,
    find_components,
    find_pipeline_or_checkpoint,
    load_pipeline,
    read_language,
)

LISTENER = {"@architectures": "trf_bridge.Tok2VecListener.v1", "grad_factor": 1.0}
TAGGER = {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}
SUGGESTER = {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2, 3]}


def _transitions(state_type: str, hidden_width: int, maxout_pieces: int) -> dict[str, Any]:
    """Return the model of a transition-based head: a parser or an entity recognizer."""
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": state_type,
        "extra_state_tokens": False,
        "hidden_width": hidden_width,
        "maxout_pieces": maxout_pieces,
        # With a transformer, the upper layer costs time and does not help.
        "use_upper": False,
        "tok2vec": LISTENER,
    }


def _spans(scorer: dict[str, Any]) -> dict[str, Any]:
    """Return the model of a span categorizer."""
    return {
        "@architectures": "spacy.SpanCategorizer.v1",
        "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
        "scorer": scorer,
        "tok2vec": LISTENER,
    }


def _textcat(*, exclusive: bool) -> dict[str, Any]:
    """Return the block of a text classifier, with the architecture for every checkpoint."""
    model = {"@architectures": "trf_bridge.TextCatMean.v1", "exclusive_classes": exclusive}
    return {"factory": "trf_textcat", "model": model}


# Value of --pipeline -> name of the component, and its block in the config.
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "textcat": ("trf_textcat", _textcat(exclusive=True)),
    "textcat_multilabel": ("trf_textcat_multilabel", _textcat(exclusive=False)),
    "tagger": ("tagger", {"model": TAGGER}),
    "morphologizer": ("morphologizer", {"model": TAGGER}),
    "trainable_lemmatizer": ("trainable_lemmatizer", {"model": TAGGER}),
    "parser": ("parser", {"model": _transitions("parser", 128, 3)}),
    # The sentencizer before it has already set boundaries.
    "senter": ("senter", {"model": TAGGER, "overwrite": True}),
    "ner": ("ner", {"model": _transitions("ner", 64, 2)}),
    "span_finder": (
        "span_finder",
        {
            "model": {
                "@architectures": "spacy.SpanFinder.v1",
                "scorer": {"@layers": "spacy.LinearLogistic.v1", "nO": 2},
                "tok2vec": LISTENER,
            }
        },
    ),
    "spancat": (
        "spancat",
        {"model": _spans({"@layers": "spacy.LinearLogistic.v1"}), "suggester": SUGGESTER},
    ),
    "spancat_singlelabel": (
        "spancat_singlelabel",
        {"model": _spans({"@layers": "Softmax.v2"}), "suggester": SUGGESTER},
    ),
    # Trained and scored on the entities of the data; in prediction it links those of the pipeline.
    "entity_linker": (
        "entity_linker",
        {
            "model": {"@architectures": "spacy.EntityLinker.v2", "tok2vec": LISTENER},
            "use_gold_ents": True,
        },
    ),
}
# Heads that need a further file: their block in [initialize.components], its name under [paths].
LOADED = {
    "entity_linker": {
        "kb_loader": {"@misc": "spacy.KBFromFile.v1", "kb_path": "${paths.kb}"},
    },
}
PATHS = {"entity_linker": "kb"}


class Plan(NamedTuple):
    """Settings of one value of `--optimize`.

    model (dict): Settings of the transformer that differ from their defaults.
    steps (int): The maximum number of training steps.
    patience (int): The number of steps without a better score after which training stops.
    eval_frequency (int): The number of steps between evaluations.
    """

    model: dict[str, Any]
    steps: int
    patience: int
    eval_frequency: int


PLANS = {
    "efficiency": Plan({"precision": "auto", "freeze": "embeddings"}, 5000, 1000, 100),
    "accuracy": Plan({}, 20000, 2000, 200),
}
WARMUP_STEPS = 250


def make_config(
    heads: Sequence[str], trf: str, *, optimize: str = "efficiency", lang: str | None = None
) -> Config:
    """Build a complete config for `spacy train`.

    The transformer is not loaded, except for an entity linker, whose layers need its width.

    heads (sequence of str): Keys of HEADS, or the names of their components.
    trf (str): A pipeline that contains the transformer (installed or a folder), or a checkpoint (a
        folder, or a name on the Hugging Face hub).
    optimize (str): Key of PLANS.
    lang (str): Language code; None for that of the pipeline, or "en" for a checkpoint.
    RETURNS (Config): The config, with variables for the paths.
    RAISES (ValueError): TB008, TB043, TB044; for an entity linker, the errors of loading the
        transformer.
    """
    from spacy.util import load_model_from_config

    _check_names("value of --optimize", [optimize], PLANS)
    head_of = {name: head for head, (name, _) in HEADS.items()}
    heads = [head_of.get(name, name) for name in heads]
    _check_names("component for --pipeline", heads, HEADS)
    # The entity linker reads the entities of the components before it.
    heads = sorted(dict.fromkeys(heads), key=lambda head: head == "entity_linker")
    source = find_pipeline_or_checkpoint(trf)
    names = {} if source is None else find_components(source, trf, TRANSFORMER)
    lang = lang or ("en" if source is None else read_language(source))
    components = _components(heads, trf, names, PLANS[optimize])
    if "entity_linker" in heads:
        width = find_width(source, trf, names)
        components["entity_linker"]["model"]["tok2vec"]["width"] = width
    config = Config(
        {
            "paths": dict.fromkeys(paths_of(heads)),
            # Ignored without a GPU. With one, torch and cupy share its memory.
            "system": {"seed": 0, "gpu_allocator": "pytorch"},
            "nlp": {"lang": lang, "pipeline": list(components), "batch_size": 128},
            "components": components,
            "training": _training(PLANS[optimize], heads),
        }
    )
    filled = load_model_from_config(config, auto_fill=True).config
    # Added after auto_fill, which would load the pipeline and the knowledge base.
    filled["initialize"]["components"].update(
        {head: LOADED[head] for head in heads if head in LOADED}
    )
    for factory, name in names.items():
        block = {"source": trf} if name == factory else {"source": trf, "component": name}
        filled["components"][factory] = block
    return filled


def _components(
    heads: Sequence[str], trf: str, sourced: Mapping[str, str], plan: Plan
) -> dict[str, Any]:
    """Return the blocks of the components, without the settings that have defaults.

    The transformer of a pipeline is a placeholder here, which `make_config` replaces.
    """
    components: dict[str, Any] = {"sentencizer": {"factory": "trf_sentencizer"}}
    components.update({name: {"factory": name} for name in TRANSFORMER})
    if not sourced:
        components["trf_wordpiecer"]["trf_name"] = trf
        components["trf_tok2vec"]["model"] = {
            "@architectures": "trf_bridge.TransformerModel.v1",
            "trf_name": trf,
            **plan.model,
        }
    for head in heads:
        name, block = HEADS[head]
        components[name] = copy.deepcopy({"factory": name, **block})
    return components


def find_width(source: Path | None, trf: str, names: Mapping[str, str]) -> int:
    """Load a transformer, and return the width of its output.

    source (Path): The folder of its pipeline; None for a checkpoint.
    trf (str): The pipeline or checkpoint as the user named it.
    names (dict): Names of its components in the pipeline, by factory.
    RETURNS (int): The width.
    RAISES (ValueError): The errors of loading it.
    """
    with steps(1) as step:
        step("Loading the transformer to find its width")
        if source is not None:
            nlp = load_pipeline(str(source), needs=TRANSFORMER, only_needed=True)
        else:
            from ..pipes.pretrained import from_pretrained

            quiet_downloads()
            nlp = from_pretrained(trf, head=False)
        tok2vec: Any = nlp.get_pipe(names.get("trf_tok2vec", "trf_tok2vec"))
        width: int = tok2vec.model.get_dim("nO")
    return width


def paths_of(heads: Sequence[str]) -> list[str]:
    """Return the names under [paths] that training these heads needs."""
    return ["train", "dev", *[PATHS[head] for head in PATHS if head in heads]]


def write_config(config: Config) -> str:
    """Write a config as text, each block followed by its inner blocks.

    config (Config): The config.
    RETURNS (str): The text.
    """
    from spacy.util import CONFIG_SECTION_ORDER

    blocks = re.split(r"\n+(?=\[)", config.to_str().strip())
    headers = [block[1 : block.index("]")] for block in blocks]
    known = [name for name in CONFIG_SECTION_ORDER if name in headers]
    ranks = {name: i for i, name in enumerate(dict.fromkeys([*known, *headers]))}

    def rank(header: str) -> list[int]:
        parts = header.split(".")
        return [ranks.get(".".join(parts[: n + 1]), 0) for n in range(len(parts))]

    ordered = sorted(zip(headers, blocks, strict=True), key=lambda pair: rank(pair[0]))
    return "\n\n".join(block for _, block in ordered) + "\n"


def _training(plan: Plan, heads: Sequence[str]) -> dict[str, Any]:
    """Return the block [training]."""
    # The sentencizer's scores do not depend on the training.
    unscored = [] if "senter" in heads else ["sents_f", "sents_p", "sents_r"]
    return {
        "accumulate_gradient": 1,
        "dropout": 0.1,
        "max_steps": plan.steps,
        "patience": plan.patience,
        "eval_frequency": plan.eval_frequency,
        "batcher": {
            "@batchers": "spacy.batch_by_padded.v1",
            # Keep long texts: trf_tok2vec splits each batch into subbatches of words_per_batch.
            "discard_oversize": False,
            "size": 2000,
            "buffer": 256,
        },
        "optimizer": {
            "@optimizers": "Adam.v1",
            "learn_rate": {
                "@schedules": "warmup_linear.v1",
                "warmup_steps": WARMUP_STEPS,
                # Not a variable: spaCy resolves this block alone in places, where ${training} is
                # undefined.
                "total_steps": plan.steps,
                "initial_rate": 5e-5,
            },
        },
        "logger": {"@loggers": "trf_bridge.ConsoleLogger.v1"},
        # The entity linker needs sentence boundaries in training, too.
        "annotating_components": ["sentencizer"] if "entity_linker" in heads else [],
        "score_weights": dict.fromkeys(unscored),
    }


def _check_names(field: str, got: Sequence[str], known: Mapping[str, Any]) -> None:
    """Check names given on the command line."""
    unknown = [name for name in got if name not in known]
    if unknown or not got:
        named = ", ".join(unknown) or "nothing"
        raise ValueError(errors.TB008.format(field=field, got=named, expected=", ".join(known)))
