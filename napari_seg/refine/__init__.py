"""Refinement of probabilities and labels."""
