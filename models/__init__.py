"""Networks and their training, on tensors."""
