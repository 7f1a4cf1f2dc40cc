"""A whole folder segmented in one go."""
