"""Tokenizers: strings to `Wordpieces`."""
