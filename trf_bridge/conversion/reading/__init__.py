"""What other libraries save for a trained pipeline: its transformer and its heads."""
