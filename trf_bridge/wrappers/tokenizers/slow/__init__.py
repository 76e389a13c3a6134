"""Character offsets for tokenizers that give none."""
