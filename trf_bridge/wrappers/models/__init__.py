"""The transformer as a thinc layer: `Wordpieces` to `Activations`, and gradients back."""
