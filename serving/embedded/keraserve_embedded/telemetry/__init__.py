"""Prometheus metrics of the engine and its APIs."""
