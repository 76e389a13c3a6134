"""Pipelines and configs of other libraries, converted to components of this package."""
