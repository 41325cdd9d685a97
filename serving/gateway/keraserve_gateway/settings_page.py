"""The page about the settings, `docs/settings.md`: made from the model, so that it can't fall behind."""

from keraserve_gateway.settings import ENV_PREFIX, Settings, shown_default

_HEAD = """# The gateway's settings

As an environment variable, as a flag (`--max-images=8`), or in a TOML file (`max_images = 8`) that `--config`
names; flags win over the environment, that over the file. `keraserve-gateway settings` prints this page.
A file that is read again when it changes is looked at by the first request in 20 ms.

| variable | default | what |
|---|---|---|
"""


def render() -> str:
    """Write the page."""
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` | {shown_default(field)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "".join(rows)
