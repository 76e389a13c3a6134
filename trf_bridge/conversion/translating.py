"""Convert the configs of spacy-transformers and spacy-curated-transformers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from thinc.api import Config

from ..wrappers.spacy_pipelines import OTHER_FACTORIES
from .components import Translation
from .job import Job
from .origins import OWN, find_foreign, find_library, library_of_config
from .rows import Row
from .variables import inline


def convert_config(
    config: Config,
    *,
    trf_name: str = "",
    trained: bool = False,
    sources: Mapping[str, Mapping[str, str]] | None = None,
    path: str = "the config",
) -> tuple[Config, list[Row]]:
    """Convert the config of a pipeline.

    The component that runs the model keeps its name, such as "transformer", so that references to
    it remain valid; its factory becomes trf_tok2vec. A trf_wordpiecer is added before it.

    config (Config): The config, loaded with `interpolate=False` to keep its variables; not changed.
    trf_name (str): The checkpoint, which replaces that in the config; "" to use that.
    trained (bool): Whether the config is that of a trained pipeline, which stores its weights and
        needs no checkpoint.
    sources (dict): Factories of the components of each pipeline that the config takes components
        from, by the pipeline as the config names it; None if they are not known.
    path (str): Where the config comes from, for errors.
    RETURNS (tuple of Config and list of Row): The new config, and what was done with each part.
    RAISES (ValueError): TB066 if a checkpoint is needed and not given; TB067 for a config that
        can't be converted.
    WARNS: TB112 for a component of another pipeline that must be converted, too.
    """
    original = copy.deepcopy(dict(config))
    job = Job(original, path, trf_name, trained, sources or {})
    check_convertible(job)
    names = [n for n, b in original["components"].items() if b.get("factory") in OTHER_FACTORIES]
    blocks = [(*section, name) for name in names for section in SECTIONS]
    try:
        job.config = inline(original, original, blocks)
    except LookupError as error:
        raise job.refuse(str(error.args[0]), "Correct the config.") from None
    new = Translation(job).run()
    left = next(find_foreign(new), None)
    if left is not None:
        reason = f"the block [{left[0]}] uses '{left[1]}', which has no counterpart"
        raise job.refuse(reason, "Remove it, or replace it by another one.")
    order = getattr(config, "section_order", None)
    return Config(new, is_interpolated=config.is_interpolated, section_order=order), job.rows


SECTIONS = (("components",), ("initialize", "components"))


def check_convertible(job: Job) -> None:
    """Check that a config has the parts of a pipeline, all from one of the libraries.

    job (Job): The conversion.
    RAISES (ValueError): TB067.
    """
    components = job.config.get("components")
    pipeline = job.config.get("nlp", {}).get("pipeline")
    if not isinstance(components, dict) or not isinstance(pipeline, list):
        reason = "it has no [components] or no pipeline in [nlp]"
        raise job.refuse(reason, "Expected the config of a spaCy pipeline.")
    missing = [name for name in pipeline if not isinstance(components.get(name), dict)]
    if missing:
        reason = f"nlp.pipeline lists {', '.join(missing)}, but there is no block for it"
        raise job.refuse(reason, "Correct the config.")
    factories = {n: b.get("factory", "") for n, b in components.items() if isinstance(b, dict)}
    foreign = library_of_config(job.config)
    own = [name for name, factory in factories.items() if factory in OWN]
    if own and foreign:
        reason = f"it is half converted: {', '.join(own)} is a component of trf_bridge already"
        raise job.refuse(reason, "Convert the original.")
    if own:
        reason = f"it is converted: {', '.join(own)} is a component of trf_bridge"
        raise job.refuse(reason, "Use it as it is.")
    if not foreign and not any(source_has_transformer(job, b) for b in components.values()):
        reason = "nothing in it belongs to spacy-transformers or spacy-curated-transformers"
        raise job.refuse(reason, "Use it as it is.")


def source_has_transformer(job: Job, block: Any) -> bool:
    """Return whether a component is taken from a pipeline of one of the libraries."""
    if not isinstance(block, dict) or "source" not in block:
        return False
    return bool(find_library(job.sources.get(str(job.resolve(block["source"])), {})))
