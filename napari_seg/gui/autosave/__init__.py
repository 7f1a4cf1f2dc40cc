"""Corrections on disk within seconds, and back after a crash."""
