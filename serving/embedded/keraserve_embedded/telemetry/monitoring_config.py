"""The file of --monitoring_config_file: TensorFlow Serving's MonitoringConfig in protobuf's text format."""

from pathlib import Path

from google.protobuf import text_format

from keraserve_embedded.errors import ConfigError
from keraserve_protocol import text_file
from keraserve_protocol.messages import MonitoringConfig

DEFAULT_PATH = "/monitoring/prometheus/metrics"


def metrics_path(file: Path) -> str:
    """Read the path of the metrics for Prometheus; "" if the file does not enable it.

    Raises:
        ConfigError: the file can't be read or parsed, or its path has no slash.
    """
    try:
        config = text_format.Parse(text_file.read(file), MonitoringConfig())
    except text_file.TextFileError as error:
        raise ConfigError(str(error)) from error
    except text_format.ParseError as error:
        raise ConfigError(f"{file}: not a MonitoringConfig: {error}") from error
    prometheus = config.prometheus_config
    if not prometheus.enable:
        return ""
    path = prometheus.path or DEFAULT_PATH
    if not path.startswith("/"):
        raise ConfigError(f"{file}: the path {path!r} does not begin with a slash")
    return path
