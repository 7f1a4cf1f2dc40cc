"""Networks, their cards and checkpoints."""
