"""Panels: they emit requests and offer setters, and know nothing else."""
