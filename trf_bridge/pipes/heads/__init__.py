"""What reads the output of the transformer and sends gradients back."""
