"""The spaCy side: pipeline components, extension attributes, hooks."""
