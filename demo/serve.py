"""`make serve`: run the embedded model server and the gateway until Ctrl-C."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from stack import Ports, Stack, StackError, program, running

from keraserve_client import Client

DEFAULT = Ports()


def main(
    models: Annotated[Path, typer.Option(help="the model repository")] = Path("models"),
    port: Annotated[int, typer.Option(help="HTTP", envvar="KERASERVE_PORT")] = DEFAULT.http,
    grpc_port: Annotated[int, typer.Option(help="gRPC", envvar="KERASERVE_GRPC_PORT")] = DEFAULT.grpc,
    model_server_port: Annotated[
        int, typer.Option(help="the model server's own gRPC", envvar="KERASERVE_MODEL_SERVER_PORT")
    ] = DEFAULT.model_server,
) -> None:
    """Serve every exported model on this machine, over HTTP and gRPC on loopback."""
    console = Console(markup=False, emoji=False)
    try:
        with running(models, Ports(port, grpc_port, model_server_port)) as stack:
            _introduce(console, stack)
            stack.show()
            while True:
                stack.check()
                time.sleep(1)
    except KeyboardInterrupt:
        console.print("stopped")
    except StackError as error:
        console.print(str(error), style="red", soft_wrap=True)
        sys.exit(1)


def _introduce(console: Console, stack: Stack) -> None:
    with Client(stack.url) as client:
        names = [model.name for model in client.models()]
    table = Table(show_header=False, box=None)
    table.add_row("page", stack.url)
    table.add_row("API", f"{stack.url}/docs")
    table.add_row("gRPC", stack.grpc)
    table.add_row("models", ", ".join(names))
    elsewhere = "" if stack.url.endswith(f":{DEFAULT.http}") else f" --url {stack.url}"
    table.add_row("try", f"{program('keraserve')} classify {names[0]} IMAGE.png{elsewhere}")
    table.add_row("stop", "Ctrl-C")
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
