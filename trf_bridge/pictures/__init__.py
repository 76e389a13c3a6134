"""Pictures of what a pipeline stores on a Doc: alignment, attention, similarity and head overlap.

To add a picture:

1. Compute its data in a module of its own, as `similarity.py` does, from arrays and Docs alone.
2. Add a function to `figures.py` that returns the data as an HTML figure.
3. Add the style to `STYLES` and `render` in `render.py`; scripts and colors are in `assets/`.

The package is not called `render`, because importing a submodule of that name would replace the
function `trf_bridge.render`.
"""
