"""The table of architectures, a module for each group of families. Loads no torch."""
