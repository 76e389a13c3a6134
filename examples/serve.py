"""Serve a pipeline over HTTP, with FastAPI and several threads.

pip install fastapi uvicorn
PIPELINE=en_trf_bert uvicorn serve:make_app --factory --app-dir examples
"""

import os

import spacy
import torch

MAX_CHARACTERS = 100_000


def analyze(nlp, text):
    """Run the pipeline. Several threads can do so at once."""
    doc = nlp(text)
    return {
        "entities": [
            {"start": ent.start_char, "end": ent.end_char, "label": ent.label_} for ent in doc.ents
        ],
        "cats": doc.cats,
        "vector": doc.vector.tolist(),
    }


def make_app():
    """Load the pipeline once, and create the service."""
    from fastapi import Body, FastAPI

    torch.set_num_threads(1)  # each request has a thread of its own
    nlp = spacy.load(os.environ.get("PIPELINE", "en_trf_bert"))
    nlp("The first run takes longer.")
    app = FastAPI()

    # Not `async def`: FastAPI then runs it in a pool of threads, and other requests need not wait.
    @app.post("/analyze")
    def analyze_text(text: str = Body(embed=True, max_length=MAX_CHARACTERS)) -> dict:
        return analyze(nlp, text)

    return app
