"""The names that the exporter writes and the gateway reads to share requests between two versions."""

FILE = "canary.json"
"""With the share of the canary by model: `{"<model>": <0 to 1>}`."""
STABLE, CANARY = "stable", "canary"
"""The labels of both versions."""
