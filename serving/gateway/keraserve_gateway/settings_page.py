"""Writes `docs/settings.md`, the page about all settings, from their model."""

from keraserve_gateway.settings import ENV_PREFIX, Settings, described

_HEAD = """# The gateway's settings

Set them as an environment variable, as a flag (`--max-images=8`), or in a TOML file (`max_images = 8`) that
`--config` names; flags win over the environment, that over the file. `keraserve-gateway settings` prints this
page. A file that is read again when it changes is checked by the first request in 20 ms.

| variable | default | what |
|---|---|---|
"""


def render() -> str:
    """Write the page."""
    rows = [
        " | ".join((f"| `{ENV_PREFIX}{name.upper()}`", *described(field))) + " |\n"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "".join(rows)
