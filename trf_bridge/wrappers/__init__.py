"""Hugging Face models and tokenizers as thinc layers. Nothing here knows what a Doc is."""
