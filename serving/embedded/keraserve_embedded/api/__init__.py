"""The gRPC and REST APIs of an engine, and what they allow a caller to hold."""
