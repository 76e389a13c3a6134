"""Training configs: heads on a transformer, with every field filled in."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thinc.api import Config

from .. import errors
from .console import quiet_downloads, steps
from .pipelines import PIPELINE, find_components, find_pipeline, load_pipeline

TRANSFORMER = ("trf_wordpiecer", "trf_tok2vec")
LISTENER = {"@architectures": "trf_bridge.Tok2VecListener.v1", "grad_factor": 1.0}
TAGGER = {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}
SUGGESTER = {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2, 3]}


def _transitions(state_type: str, hidden_width: int, maxout_pieces: int) -> dict[str, Any]:
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": state_type,
        "extra_state_tokens": False,
        "hidden_width": hidden_width,
        "maxout_pieces": maxout_pieces,
        # The layer on top is of no use over a transformer, and costs time.
        "use_upper": False,
        "tok2vec": LISTENER,
    }


def _spans(scorer: dict[str, Any]) -> dict[str, Any]:
    return {
        "@architectures": "spacy.SpanCategorizer.v1",
        "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
        "scorer": scorer,
        "tok2vec": LISTENER,
    }


def _textcat(*, exclusive: bool) -> dict[str, Any]:
    # Of the architectures the one that works with every checkpoint.
    model = {"@architectures": "trf_bridge.TextCatMean.v1", "exclusive_classes": exclusive}
    return {"factory": "trf_textcat", "model": model}


# What a user asks for -> the name of the component and what stands in its block.
HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "textcat": ("trf_textcat", _textcat(exclusive=True)),
    "textcat_multilabel": ("trf_textcat_multilabel", _textcat(exclusive=False)),
    "tagger": ("tagger", {"model": TAGGER}),
    "morphologizer": ("morphologizer", {"model": TAGGER}),
    "trainable_lemmatizer": ("trainable_lemmatizer", {"model": TAGGER}),
    "parser": ("parser", {"model": _transitions("parser", 128, 3)}),
    # The sentencizer before it has set boundaries already.
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
    # Trained and scored on the entities of the data; later it links those that ner or a ruler sets.
    "entity_linker": (
        "entity_linker",
        {
            "model": {"@architectures": "spacy.EntityLinker.v2", "tok2vec": LISTENER},
            "use_gold_ents": True,
        },
    ),
}
# What needs more than the data: section of [initialize.components], and its file under [paths].
LOADED = {
    "entity_linker": {
        "kb_loader": {"@misc": "spacy.KBFromFile.v1", "kb_path": "${paths.kb}"},
    },
}
PATHS = {"entity_linker": "kb"}


class Plan(NamedTuple):
    """What is optimized for.

    model (dict): Fields of the transformer's model that differ from their defaults.
    steps, patience, eval_frequency (int): How long to train, and when to look.
    """

    model: dict[str, Any]
    steps: int
    patience: int
    eval_frequency: int


PLANS = {
    "efficiency": Plan({"precision": "auto", "freeze": 0}, 5000, 1000, 100),
    "accuracy": Plan({}, 20000, 2000, 200),
}
WARMUP_STEPS = 250


def make_config(
    heads: Sequence[str], trf: str, *, optimize: str = "efficiency", lang: str | None = None
) -> Config:
    """Make a complete config for `spacy train`.

    The checkpoint is not looked at, so that nothing is loaded before training; except for an entity
    linker, whose layers are made for a width.

    heads (sequence of str): Keys of HEADS, or the names of their components.
    trf (str): A pipeline to take the transformer from (installed or a folder), or a checkpoint
        (a folder, or a name on the Hugging Face hub).
    optimize (str): Key of PLANS.
    lang (str): Code of the language; None for that of the pipeline, or "en".
    RETURNS (Config): The config, with variables for the paths.
    RAISES (ValueError): TB008, TB043, TB044; for an entity linker, what loading the transformer
        raises.
    """
    from spacy.util import load_model_from_config

    _check("value of --optimize", [optimize], PLANS)
    # By what the component is called in a pipeline, too.
    asked = {name: head for head, (name, _) in HEADS.items()}
    heads = [asked.get(name, name) for name in heads]
    _check("component for --pipeline", heads, HEADS)
    # It reads the entities of what stands before it.
    heads = sorted(dict.fromkeys(heads), key=lambda head: head == "entity_linker")
    source = find_source(trf)
    names = {} if source is None else find_components(source, trf, TRANSFORMER)
    lang = lang or (_language(source) if source else "en")
    components: dict[str, Any] = {"sentencizer": {"factory": "sentencizer"}}
    for factory in TRANSFORMER:
        components[factory] = {"factory": factory}
    if source is None:
        components["trf_wordpiecer"]["trf_name"] = trf
        components["trf_tok2vec"]["model"] = _transformer(trf, PLANS[optimize])
    for head in heads:
        name, block = HEADS[head]
        components[name] = copy.deepcopy({"factory": name, **block})
    if "entity_linker" in heads:
        width = find_width(source, trf, names)
        components["entity_linker"]["model"]["tok2vec"]["width"] = width
    config = Config(
        {
            "paths": dict.fromkeys(paths_of(heads)),
            # Of use where there is a GPU alone: torch and cupy then share its memory.
            "system": {"seed": 0, "gpu_allocator": "pytorch"},
            "nlp": {"lang": lang, "pipeline": list(components), "batch_size": 128},
            "components": components,
            "training": _training(PLANS[optimize], heads),
        }
    )
    filled = load_model_from_config(config, auto_fill=True).config
    # Only now: what is named here would have been loaded.
    filled["initialize"]["components"].update(
        {head: LOADED[head] for head in heads if head in LOADED}
    )
    if source is not None:
        for factory in TRANSFORMER:
            name = names[factory]
            block = {"source": trf} if name == factory else {"source": trf, "component": name}
            filled["components"][factory] = block
    return filled


def find_width(source: Path | None, trf: str, names: Mapping[str, str]) -> int:
    """Ask a transformer for the width of what it gives.

    source (Path): The folder of the pipeline that has it; None for a checkpoint.
    trf (str): What the user named.
    names (dict): What its components are called in the pipeline, by factory.
    RETURNS (int): The width.
    RAISES (ValueError): What loading it raises.
    """
    with steps(1) as step:
        step("Loading the transformer, to see how wide it is")
        if source is not None:
            nlp = load_pipeline(str(source), needs=TRANSFORMER, only=True)
        else:
            from ..pipes.pretrained import from_pretrained

            quiet_downloads()
            nlp = from_pretrained(trf)
        tok2vec: Any = nlp.get_pipe(names.get("trf_tok2vec", "trf_tok2vec"))
        width: int = tok2vec.model.get_dim("nO")
    return width


def paths_of(heads: Sequence[str]) -> list[str]:
    """RETURNS (list of str): What is to be named under [paths] when these heads are trained."""
    return ["train", "dev", *[PATHS[head] for head in PATHS if head in heads]]


def write_config(config: Config) -> str:
    """Write a config in the order in which one reads it: each block with its inner blocks.

    config (Config): The config.
    RETURNS (str): Its text.
    """
    from spacy.util import CONFIG_SECTION_ORDER

    blocks = re.split(r"\n+(?=\[)", config.to_str().strip())
    headers = [block[1 : block.index("]")] for block in blocks]
    known = [name for name in CONFIG_SECTION_ORDER if name in headers]
    places = {name: i for i, name in enumerate(dict.fromkeys([*known, *headers]))}

    def place(header: str) -> list[int]:
        parts = header.split(".")
        return [places.get(".".join(parts[: n + 1]), 0) for n in range(len(parts))]

    found = sorted(zip(headers, blocks, strict=True), key=lambda pair: place(pair[0]))
    return "\n\n".join(block for _, block in found) + "\n"


def find_source(trf: str) -> Path | None:
    """Find out whether the transformer is that of a pipeline, or a checkpoint.

    trf (str): What the user named.
    RETURNS (Path): The folder of the pipeline; None for a checkpoint.
    RAISES (ValueError): TB044 for what is neither.
    """
    from spacy.util import is_package

    folder = Path(trf)
    if not folder.exists() and not is_package(trf) and not _is_hub_name(trf):
        reason = "it is neither an installed pipeline nor a folder, nor can it be a name on the hub"
        expected = f"{PIPELINE}, or a checkpoint"
        raise ValueError(errors.TB044.format(path=trf, reason=reason, expected=expected))
    if is_package(trf) or (folder / "config.cfg").is_file():
        return find_pipeline(trf)
    if folder.exists() and not (folder / "config.json").is_file():
        reason = "it has neither the config.cfg of a pipeline nor the config.json of a checkpoint"
        expected = f"{PIPELINE}, or a checkpoint"
        raise ValueError(errors.TB044.format(path=trf, reason=reason, expected=expected))
    return None


def _is_hub_name(name: str) -> bool:
    """Whether it has the form of one: with no more than one slash, and not beginning as a path."""
    return re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", name, re.ASCII) is not None


def _language(folder: Path) -> str:
    lang: str = Config().from_disk(folder / "config.cfg", interpolate=False)["nlp"]["lang"]
    return lang


def _transformer(trf_name: str, plan: Plan) -> dict[str, Any]:
    return {
        "@architectures": "trf_bridge.TransformerModel.v1",
        "trf_name": trf_name,
        **plan.model,
    }


def _training(plan: Plan, heads: Sequence[str]) -> dict[str, Any]:
    # What the sentencizer finds says nothing about the training.
    unscored = [] if "senter" in heads else ["sents_f", "sents_p", "sents_r"]
    return {
        "accumulate_gradient": 1,
        "dropout": 0.1,
        "max_steps": plan.steps,
        "patience": plan.patience,
        "eval_frequency": plan.eval_frequency,
        "batcher": {
            "@batchers": "spacy.batch_by_padded.v1",
            # Long texts are trained on too: trf_tok2vec cuts every batch to words_per_batch.
            "discard_oversize": False,
            "size": 2000,
            "buffer": 256,
        },
        "optimizer": {
            "@optimizers": "Adam.v1",
            "learn_rate": {
                "@schedules": "warmup_linear.v1",
                "warmup_steps": WARMUP_STEPS,
                # As max_steps: spaCy reads the optimizer alone in places, where no variable is
                # known.
                "total_steps": plan.steps,
                "initial_rate": 5e-5,
            },
        },
        # The linker's layers read the sentence of an entity, in training too.
        "annotating_components": ["sentencizer"] if "entity_linker" in heads else [],
        "score_weights": dict.fromkeys(unscored),
    }


def _check(field: str, got: Sequence[str], known: dict[str, Any]) -> None:
    unknown = [name for name in got if name not in known]
    if unknown or not got:
        named = ", ".join(unknown) or "nothing"
        raise ValueError(errors.TB008.format(field=field, got=named, expected=", ".join(known)))
