"""Every setting with its type, default and description, which `--help` and `docs/settings.md` show."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from keraserve_gateway.api_keys import keys
from keraserve_gateway.grpc_target import grpc_target
from keraserve_protocol import image_formats

ENV_PREFIX = "KERASERVE_"
IN_PROCESS = "in-process"

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def described(field: FieldInfo) -> tuple[str, str]:
    """Return a setting's default and its description, for people."""
    default = "none" if field.default in (None, ()) else str(field.default)
    return default, " ".join((field.description or "").split())


class Settings(BaseSettings):
    """The gateway's settings: from flags, then the environment, then the file, then the defaults."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    config: Path | None = None
    """a TOML file with any of these settings; flags and environment win"""
    model_server: Annotated[str, Field(min_length=1)] = "127.0.0.1:8510"
    """host:port of the model server's gRPC port; a name with several servers behind it, or IP addresses with
    ports, separated by commas, get requests in turn; or in-process: this process loads the models (needs
    keraserve-gateway[embedded])"""
    model_server_flags: str | None = None
    """for in-process: flags of keraserve-embedded, as "--enable_batching
    --batching_parameters_file=batching.txt"; those about ports and REST have no effect"""
    model_config_file: Path | None = None
    """the model server's models.config: names and labels; read again when it changes"""
    models: Annotated[tuple[str, ...], NoDecode] = ()
    """names of the models, separated by commas, where there is no models.config"""
    canary_file: Path | None = None
    """a JSON file with each canary's share, read again when it changes; none: canary.json beside
    model_config_file"""
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """address to listen on"""
    port: Port = 8000
    """HTTP port; 0 takes any free one"""
    grpc_port: Port = 8500
    """gRPC port; 0 is off"""
    workers: Count = 1
    """processes that share the ports, for machines with many cores; each has its part of the limits below and
    of a key's rate, and a client's connection stays with one of them"""
    one_of: Count = 1
    """set by workers: this process is one of so many"""
    max_body_bytes: Count = 16 << 20
    """most bytes in a request's body"""
    max_arriving_bytes: Count = 128 << 20
    """most bytes of all bodies that have not arrived completely; if they need more, the one that has been
    arriving for longest is given up"""
    max_images: Count = 32
    """most images in an images:classify"""
    max_pixels: Count = image_formats.MAX_PIXELS
    """most pixels in one of its images, by its header"""
    max_rows: Count = 1024
    """most rows of a tensor, or examples, in a request; over gRPC examples alone, as the model server knows
    the signature"""
    max_elements: Count = 1 << 24
    """most elements of a request's tensors together, by their shapes"""
    max_merged: Annotated[int, Field(ge=1, le=32)] = 8  # their ids have to fit into a call's metadata
    """most images of several requests in one call of the model server; 1: each request has its own call"""
    max_in_flight: Count = 64
    """most requests at a time, HTTP and gRPC together"""
    max_bytes_in_flight: Count = 256 << 20
    """most bytes of the bodies of all requests in flight, which are in memory four times; fewer if the memory
    limit (the container's, else the machine's) is too small for the default"""
    max_waiting: Annotated[int, Field(ge=0)] = 8
    """most requests that wait for a slot when that many are in flight"""
    wait_seconds: Seconds = 1.0
    """longest that a request may wait for a slot"""
    keys_file: Path | None = None
    """a TOML file with the API keys; read again when it changes; none: no keys are needed"""
    key_requests_per_second: Annotated[float, Field(gt=0)] = 100.0
    """most requests a second with a key whose entry has no rate of its own"""
    max_connections: Count = 400
    """most open connections, of HTTP and of gRPC each; for one more, the connection that has been longest
    without a request in flight is closed"""
    max_header_bytes: Count = 32 << 10
    """most bytes in a request's line and headers"""
    header_seconds: Seconds = 10.0
    """longest that a request's line and headers may take to arrive"""
    unread_seconds: Seconds = 20.0
    """longest that a client may read nothing of a response that is sent to it"""
    idle_seconds: Count = 75
    """how long a connection without a request is kept open"""
    deadline_seconds: Seconds = 30.0
    """longest that a request may take in all"""
    drain_seconds: Seconds = 20.0
    """how long requests in flight may go on after SIGTERM"""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """least serious log line written"""

    @field_validator("models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name for name in (part.strip() for part in value.split(",")) if name)
        return value

    @field_validator("model_server")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value != IN_PROCESS:
            grpc_target(value)
        return value

    @field_validator("keys_file")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                keys.read(value)
            except OSError as error:
                raise ValueError(f"can't read {value}: {error.strerror or error}") from error
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add the file that a flag or the environment names, below both."""
        del dotenv_settings, file_secret_settings
        named = init_settings().get("config") or env_settings().get("config")
        if named is None:
            return init_settings, env_settings
        if not Path(named).is_file():
            raise FileNotFoundError(f"there is no settings file {named}")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(named))

    @model_validator(mode="after")
    def _models_are_loaded_once(self) -> Self:
        if self.workers > 1 and self.model_server == IN_PROCESS:
            raise ValueError(f"several workers need a model server of its own, not {IN_PROCESS}")
        return self

    @property
    def part(self) -> "Settings":
        """These settings with this process's part of the limits that all processes share."""
        counted = ("max_in_flight", "max_waiting", "max_connections")
        sized = {"max_arriving_bytes", "max_bytes_in_flight"} & self.model_fields_set
        changed = {name: -(-getattr(self, name) // self.one_of) for name in (*counted, *sized)}
        return self.model_copy(update=changed) if self.one_of > 1 else self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the gateway's ports."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
