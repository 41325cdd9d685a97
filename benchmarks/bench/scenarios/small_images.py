"""Images of 28 px as JSON rows to `:predict`, compared with PNG files to `images:classify`."""

from bench.context import Context
from bench.goal import at_most, ratio_goal
from bench.load.specification import LoadSpecification
from bench.results import Figure
from bench.systems.endpoint import JSON, PNG, classify_path, predict_path
from bench.workspace import CLOTHES, BodyKind

AS_PNG = Figure("28 px: PNG", "images/s")
AS_ROWS = Figure("28 px: JSON rows", "images/s")
GOALS = [ratio_goal("28x28 as JSON rows: time, of the image route's", at_most(1.2), AS_PNG, AS_ROWS)]
_CLIENTS = 8


def measure(port: int, context: Context) -> None:
    """Measure both."""
    for figure, path, content_type, bodies in (
        (AS_PNG, classify_path(CLOTHES), PNG, BodyKind.CLOTHES_PNG),
        (AS_ROWS, predict_path(CLOTHES), JSON, BodyKind.CLOTHES_INSTANCES),
    ):
        files = context.workspace.bodies(bodies)
        load = LoadSpecification(port, path, content_type, files, _CLIENTS)
        context.results.add(figure, context.load(load).rate)
