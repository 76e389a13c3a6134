"""Pictures of what is on a Doc: alignment, attention, similarity.

The package is not called `render`: a module of that name would hide `trf_bridge.render`, the
function, as soon as anything in it is imported.
"""
