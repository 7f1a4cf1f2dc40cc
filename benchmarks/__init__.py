"""One script a claim; ``python -m benchmarks.<name>`` prints a table and JSON."""
