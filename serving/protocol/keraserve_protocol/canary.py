"""The file name and labels with which exporter and gateway divide requests among two versions."""

FILE = "canary.json"
"""With the share of the canary by model: `{"<model>": <0 to 1>}`."""
STABLE, CANARY = "stable", "canary"
"""The labels of both versions."""
