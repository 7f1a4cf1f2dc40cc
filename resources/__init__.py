"""Files that are installed with the package: samples, checkpoints."""
