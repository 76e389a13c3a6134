"""Hugging Face models and tokenizers behind plain records: nothing here sees a Doc."""
