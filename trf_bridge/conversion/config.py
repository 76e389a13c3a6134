"""Convert the configs of spacy-transformers and spacy-curated-transformers."""

from __future__ import annotations

from thinc.api import Config

from .rows import Row


def convert_config(
    config: Config, *, trf_name: str = "", trained: bool = False
) -> tuple[Config, list[Row]]:
    """Convert the config of a pipeline.

    The component that runs the model keeps its name, such as "transformer", so that references to
    it remain valid; its factory becomes trf_tok2vec. A trf_wordpiecer is added before it.

    config (Config): The config; not changed.
    trf_name (str): The checkpoint, which replaces that in the config; "" to use that.
    trained (bool): Whether the config is that of a trained pipeline, which stores its weights and
        needs no checkpoint.
    RETURNS (tuple of Config and list of Row): The new config, and what was done with each part.
    RAISES (ValueError): TB066 if a checkpoint is needed and not given; TB067 for a config that
        can't be converted.
    """
    raise NotImplementedError
