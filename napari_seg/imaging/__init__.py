"""Arrays in, arrays out: axes, tiles, instances, weights, metrics."""
