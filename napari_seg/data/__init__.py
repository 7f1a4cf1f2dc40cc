"""Images, labels and data sets on disk."""
