"""What is updated in training, how fast, and in which precision."""
