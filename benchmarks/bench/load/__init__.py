"""The load generator: a program that sends requests and counts responses."""
