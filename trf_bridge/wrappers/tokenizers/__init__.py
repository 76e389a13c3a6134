"""Tokenizers: from texts to `Wordpieces`."""
