"""The HTTP port: parse requests, call `calls`, render responses."""
