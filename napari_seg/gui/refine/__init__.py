"""The Refine section: outlines that follow the image, tried before they are kept."""
