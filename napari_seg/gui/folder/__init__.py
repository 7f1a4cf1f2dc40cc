"""A folder worked through: the next image with one key, predicted and saved by then."""
