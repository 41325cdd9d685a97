"""The command `keraserve predict`: inputs as JSON or files, outputs as a table or JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import numpy.typing as npt
import typer

from keraserve_client._client import DEFAULT_URL
from keraserve_client._command_line import (
    CaFile,
    Grpc,
    Json,
    Label,
    Model,
    Timeout,
    Tls,
    Url,
    Version,
    connect,
    console,
    reported_errors,
)
from keraserve_client._errors import InvalidInput, NotSupported
from keraserve_client._table import print_outputs
from keraserve_protocol import json_text
from keraserve_protocol.json_tensors import decode_binary, from_tensor, is_binary, nested
from keraserve_protocol.signatures import DEFAULT_SIGNATURE
from keraserve_protocol.tensors import to_proto


def predict(
    model: Model,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=VALUE",
            help="An input, as JSON, @FILE.json or @FILE.npy; once for each.",
            show_default=False,
        ),
    ] = None,
    signature: Annotated[str, typer.Option(help="The function of the model.")] = DEFAULT_SIGNATURE,
    version: Version = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """Call a model with tensors."""
    with reported_errors():
        given = read(inputs or [])
        with connect(url, grpc, tls, ca_file, timeout) as client:
            outputs = client.predict(model, given, signature, version, label)
        if as_json:
            typer.echo(json_text.dump({name: as_lists(value) for name, value in outputs.items()}))
        else:
            print_outputs(outputs, as_lists, console())


def read(given: Sequence[str]) -> dict[str, npt.ArrayLike]:
    """Read the values of `--input`.

    Raises:
        InvalidInput: one is no NAME=VALUE, or its value can't be read.
    """
    found: dict[str, npt.ArrayLike] = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name or not value:
            raise InvalidInput(f"--input {text} is not NAME=VALUE")
        if name in found:
            raise InvalidInput(f"--input {name} is there twice")
        found[name] = _from_file(name, Path(value[1:])) if value.startswith("@") else _from_json(name, value)
    return found


def _from_file(name: str, file: Path) -> npt.ArrayLike:
    try:
        if file.suffix == ".json":
            return _from_json(name, file.read_text(encoding="utf-8"))
        if file.suffix == ".npy":
            return np.load(file, allow_pickle=False)
    except OSError as error:
        raise InvalidInput(f"--input {name}: {file}: {(error.strerror or str(error)).lower()}") from error
    except (ValueError, EOFError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"--input {name}: {file} can't be read: {error}") from error
    raise InvalidInput(f"--input {name}: {file} is neither .json nor .npy")


def _from_json(name: str, text: str) -> npt.ArrayLike:
    try:
        return _with_bytes(json.loads(text), name)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        start = text if len(text) <= 40 else f"{text[:40]} …"
        raise InvalidInput(f'--input {name}: {start} is no JSON; text is written as "text"') from error


def _with_bytes(value: Any, name: str) -> Any:
    """Replace `{"b64": "…"}` by the bytes that it stands for."""
    if isinstance(value, list):
        return [_with_bytes(each, name) for each in cast("list[Any]", value)]
    if is_binary(value):
        try:
            return decode_binary(value, name)
        except json_text.JsonError as error:
            raise InvalidInput(f"--input {error}") from error
    return value


def as_lists(array: npt.NDArray[Any]) -> Any:
    """Nested lists for JSON; bytes that are no text as `{"b64": "…"}`.

    Raises:
        NotSupported: complex numbers, which JSON can't carry.
    """
    try:
        return nested(from_tensor(to_proto(array), binary=False))
    except json_text.FormError as error:
        raise NotSupported(f"JSON can't carry it: {error}") from error
