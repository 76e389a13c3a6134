"""Layers that read the transformer of another component."""

from __future__ import annotations

from typing import Any

from .job import Job

LISTENER = "trf_bridge.Tok2VecListener.v1"
CURATED = "spacy-curated-transformers."
WEIGHTING = f"{CURATED}ScalarWeightingListener.v1"
LISTENERS = {
    "spacy-transformers.TransformerListener.v1",
    f"{CURATED}LastTransformerLayerListener.v1",
    WEIGHTING,
}
POOLINGS = {
    "reduce_mean.v1": "mean",
    "reduce_sum.v1": "sum",
    "reduce_first.v1": "first",
    "reduce_last.v1": "last",
}


def translate_listener(job: Job, block: dict[str, Any], where: str) -> dict[str, Any]:
    """Translate a listener.

    job (Job): The conversion; rows are added.
    block (dict): The block of the listener.
    where (str): Its path in the config.
    RETURNS (dict): The block of a `Tok2VecListener`.
    RAISES (ValueError): TB067 for a listener of a trained pipeline without counterpart.
    """
    registered = block["@architectures"]
    job.add(where, "@architectures", registered, "translated", LISTENER)
    if registered == WEIGHTING:
        if job.trained:
            reason = f"{where} weights all layers of the transformer, which has no counterpart"
            raise job.refuse(reason, "Convert its config.cfg, and train again.")
        why = "no counterpart: the output of the last layer is read"
        job.add(where, "weighting", block.get("weighting", {}), "dropped", why)
    listener = {"@architectures": LISTENER, **translate_pooling(job, block, where)}
    for name in ("grad_factor", "upstream", "width"):
        if name in block:
            listener[name] = block[name]
            job.add(where, name, block[name], "kept", "the same setting")
    return listener


def translate_pooling(job: Job, block: dict[str, Any], where: str) -> dict[str, Any]:
    """Translate the pooling of a token's wordpieces.

    job (Job): The conversion; a row is added.
    block (dict): The block of the layer with the pooling.
    where (str): Its path in the config.
    RETURNS (dict): Settings of a listener, or of a transformer of a head's own.
    RAISES (ValueError): TB067 for a pooling of a trained pipeline without counterpart.
    """
    pooling = job.resolve(block.get("pooling") or {})
    registered = pooling.get("@layers", "") if isinstance(pooling, dict) else ""
    found = POOLINGS.get(registered)
    if found is None:
        if job.trained:
            reason = f"{where}.pooling is '{registered}', which has no counterpart"
            raise job.refuse(reason, "Convert its config.cfg, and train again.")
        why = 'no counterpart: pooling = "mean"'
        job.add(where, "pooling", pooling, "dropped", why)
        return {"pooling": "mean"}
    job.add(where, "pooling", pooling, "translated", f'pooling = "{found}"')
    # There, boundary pieces belong to no token.
    return {"pooling": found, "boundary": False} if found == "sum" else {"pooling": found}
