"""How a forward pass is computed."""
