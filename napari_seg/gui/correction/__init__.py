"""The correction tools in the viewer: what the mouse does, and what is seen of it."""
