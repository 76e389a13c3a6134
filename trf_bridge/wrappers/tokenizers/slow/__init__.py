"""Character offsets for tokenizers that return none."""
