"""The border-weight overlay: what the loss would weigh how much, over the labels."""
