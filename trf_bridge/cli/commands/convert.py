"""`spacy trf convert`: convert pipelines and configs of other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ... import errors
from ..console import Force, Json, quiet_downloads, say


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="A config.cfg, the folder of a trained pipeline, or an installed pipeline."
        ),
    ],
    output: Annotated[
        Path, typer.Argument(help="The file to write for a config, or the folder to create.")
    ],
    trf_name: Annotated[
        str,
        typer.Option(
            "--trf-name",
            "-t",
            help="The checkpoint for a config (a folder, or a name on the Hugging Face hub), if "
            "the config contains none or another one should be used.",
            show_default=False,
        ),
    ] = "",
    json: Json = False,
    force: Force = False,
) -> None:
    """Convert pipelines and configs of spacy-transformers.

    Those of spacy-curated-transformers are converted, too. The component transformer is replaced by
    trf_wordpiecer and trf_tok2vec, and the listeners of the heads by those of trf_bridge. A trained
    pipeline keeps its weights and its heads. The table lists each setting: kept, translated, or
    dropped and why. The original is not changed, and the other library need not be installed.
    Comments in a config are lost.

    \b
    Example:
      python -m spacy trf convert config.cfg new.cfg
      python -m spacy trf convert ./trained/model-best ./converted
    """
    from ..converting import as_table, convert_config_file, convert_saved_pipeline

    quiet_downloads()
    if source.endswith(".cfg"):
        rows = convert_config_file(Path(source), output, trf_name=trf_name, force=force)
        advice = f"Check it with: python -m spacy debug config {output}"
    else:
        if trf_name:
            problem = "--trf-name is for configs; a trained pipeline contains its checkpoint"
            raise ValueError(errors.TB049.format(problem=problem))
        rows = convert_saved_pipeline(source, output, force=force)
        advice = f'Load it with: spacy.load("{output}")'
    if json:
        import srsly

        typer.echo(srsly.json_dumps([row._asdict() for row in rows]))
    else:
        typer.echo(as_table(rows))
    n_dropped = sum(row.outcome == "dropped" for row in rows)
    say(f"Saved {output}; dropped settings: {n_dropped}. {advice}", style="good")
