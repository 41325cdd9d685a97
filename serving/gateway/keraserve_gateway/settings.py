"""Every setting, its default and what it means; `--help` is generated from here."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from keraserve_gateway import keys
from keraserve_gateway.addresses import grpc_target
from keraserve_protocol import image_formats

ENV_PREFIX = "KERASERVE_"
IN_PROCESS = "in-process"

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def shown_default(field: FieldInfo) -> str:
    """Write a setting's default for people."""
    return "none" if field.default in (None, ()) else str(field.default)


class Settings(BaseSettings):
    """The gateway's settings: from flags, then the environment, then the file, then the defaults."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    config: Annotated[
        Path | None, Field(description="a TOML file with any of these settings; flags and environment win")
    ] = None
    model_server: Annotated[
        str,
        Field(
            min_length=1,
            description="host:port of the model server's gRPC port; a name with several servers behind it, or"
            " IP addresses with ports, separated by commas, are asked in turn; or in-process: this process"
            " loads the models (needs keraserve-gateway[embedded])",
        ),
    ] = "127.0.0.1:8510"
    model_server_flags: Annotated[
        str | None,
        Field(
            description='for in-process: flags of keraserve-embedded, as "--enable_batching'
            ' --batching_parameters_file=batching.txt"; those about ports and REST have no effect'
        ),
    ] = None
    model_config_file: Annotated[
        Path | None,
        Field(description="the model server's models.config: names and labels; read again when it changes"),
    ] = None
    models: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="names of the models, separated by commas, where there is no models.config"),
    ] = ()
    canary_file: Annotated[
        Path | None,
        Field(
            description="a JSON file with each canary's share, read again when it changes; none: canary.json"
            " beside model_config_file"
        ),
    ] = None
    host: Annotated[str, Field(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[Port, Field(description="HTTP port; 0 takes any free one")] = 8000
    grpc_port: Annotated[Port, Field(description="gRPC port; 0 is off")] = 8500
    max_body_bytes: Annotated[Count, Field(description="most bytes in a request's body")] = 16 << 20
    max_arriving_bytes: Annotated[
        Count,
        Field(
            description="most bytes of all bodies that have not arrived whole; where they need more, the one"
            " that has been arriving for longest is given up"
        ),
    ] = 128 << 20
    max_images: Annotated[Count, Field(description="most images in an images:classify")] = 32
    max_pixels: Annotated[Count, Field(description="most pixels in one of its images, by its header")] = (
        image_formats.MAX_PIXELS
    )
    max_rows: Annotated[
        Count,
        Field(
            description="most rows of a tensor, or examples, in a request; over gRPC examples alone, as the"
            " model server knows the signature"
        ),
    ] = 1024
    max_elements: Annotated[
        Count, Field(description="most elements of a request's tensors together, by their shapes")
    ] = 1 << 24
    max_merged: Annotated[
        int,
        Field(
            ge=1,
            le=32,  # their ids have to fit into a call's metadata
            description="most images of several requests in one call of the model server; 1: each request"
            " has its own",
        ),
    ] = 8
    max_in_flight: Annotated[Count, Field(description="most requests at a time, HTTP and gRPC together")] = 64
    max_bytes_in_flight: Annotated[
        Count,
        Field(
            description="most bytes of the bodies of all requests at work, which are in memory four times;"
            " fewer where the memory limit (the container's, else the machine's) is too small for the default"
        ),
    ] = 256 << 20
    max_waiting: Annotated[
        int, Field(ge=0, description="most requests that wait for a place when that many are at work")
    ] = 8
    wait_seconds: Annotated[Seconds, Field(description="longest that one may wait for a place")] = 1.0
    keys_file: Annotated[
        Path | None,
        Field(
            description="a TOML file with the API keys; read again when it changes; none: no keys are needed"
        ),
    ] = None
    key_requests_per_second: Annotated[
        float, Field(gt=0, description="most requests a second with a key whose entry says nothing else")
    ] = 100.0
    max_connections: Annotated[
        Count,
        Field(
            description="most open connections, of HTTP and of gRPC each; one more takes the place of the one"
            " that has gone longest without a request in work"
        ),
    ] = 400
    max_header_bytes: Annotated[Count, Field(description="most bytes in a request's line and headers")] = (
        32 << 10
    )
    header_seconds: Annotated[
        Seconds, Field(description="longest that a request's line and headers may take to arrive")
    ] = 10.0
    unread_seconds: Annotated[
        Seconds, Field(description="longest that a client may take nothing of a response that is sent to it")
    ] = 20.0
    idle_seconds: Annotated[
        Count, Field(description="how long a connection without a request is kept open")
    ] = 75
    deadline_seconds: Annotated[Seconds, Field(description="longest that a request may take in all")] = 30.0
    drain_seconds: Annotated[
        Seconds, Field(description="how long requests in flight may go on after SIGTERM")
    ] = 20.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least serious log line written")
    ] = "info"

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
        """Put the file, if one is named by flag or environment, below both."""
        del dotenv_settings, file_secret_settings
        named = init_settings().get("config") or env_settings().get("config")
        if named is None:
            return init_settings, env_settings
        if not Path(named).is_file():
            raise FileNotFoundError(f"there is no settings file {named}")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(named))

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the gateway."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
