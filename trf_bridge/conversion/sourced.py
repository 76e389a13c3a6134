"""Components that a config takes from another pipeline."""

from __future__ import annotations

import warnings
from typing import Any

from .. import errors
from ..wrappers.spacy_pipelines import OTHER_FACTORIES
from .job import Job
from .origins import OWN, find_library

WORDPIECER, TRANSFORMER = OWN


def source_wordpiecer(job: Job, name: str, block: dict[str, Any]) -> dict[str, Any] | None:
    """Find the wordpiecer that a sourced component needs.

    job (Job): The conversion; a row is added.
    name (str): The component.
    block (dict): Its block, with `source`.
    RETURNS (dict): The block of the wordpiecer, from the same source; None if it needs none.
    RAISES (ValueError): TB067 for a variable without a value.
    WARNS: TB112 if the source must be converted, too.
    """
    source = str(job.resolve(block["source"]))
    factories = job.sources.get(source, {})
    component = block.get("component", name)
    # A pipeline that is not installed here: the usual names.
    factory = factories.get(component, component)
    foreign = find_library(factories) or (not factories and OTHER_FACTORIES.get(component, ""))
    is_transformer = factory in (*OTHER_FACTORIES, TRANSFORMER)
    where = f"components.{name}"
    if foreign:
        warnings.warn(
            errors.TB112.format(source=source, component=name, library=foreign), stacklevel=2
        )
        job.add(where, "source", source, "kept", f"convert '{source}', and set its new path here")
    else:
        job.add(where, "source", source, "kept", "a component of another pipeline")
    if not is_transformer and not block.get("replace_listeners"):
        return None
    found = next((n for n, known in factories.items() if known == WORDPIECER), "")
    if not foreign and not found:
        return None
    return {"source": block["source"], "component": found or WORDPIECER}
