"""The JSON schemas of each group of routes, for the API's description."""
