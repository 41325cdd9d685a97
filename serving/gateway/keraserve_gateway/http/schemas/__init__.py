"""The JSON of each group of routes, for the API's description."""
