"""From labels to checkpoints."""
