"""A signature cut in two inside the SavedModel's graph: up to a tensor, and from another one on."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keraserve_embedded.quiet_tensorflow import CallableOptions, function_to_graph, tf
from keraserve_protocol.messages import SignatureDef


def cut(session: Any, graph: Any, name: str, definition: SignatureDef, first: str, last: str) -> Any:
    """Prepare both parts of a signature of the graph that a session has loaded.

    Args:
        session: its graph gets a copy of the operations of the signature.
        graph: the SavedModel's GraphDef.
        name: of the signature.
        definition: of the signature.
        first: the name of the operation before the part between.
        last: of the one behind it.

    Returns:
        A function of the inputs, in the order of their names, that gives the value of `first`; and one of the
        value of `last` that gives the outputs, in the order of their names.

    Raises:
        ValueError: it has no operations of these names, or was not written by our exporter.
    """
    function, taken = _function(graph, definition, {first, last})
    given = {
        name: session.graph.get_tensor_by_name(tensor) for name, tensor in taken.items() if tensor is not None
    }
    scope = f"cut_{name}"
    with session.graph.as_default():
        inner, tensors = function_to_graph(function)
        returned = {function.ret[each.name].split(":")[0] for each in function.signature.output_arg}
        for node in inner.node:
            if node.name in returned:  # it waits for the whole graph, also for what lies between
                node.input[:] = [each for each in node.input if not each.startswith("^")]
        tf.import_graph_def(inner, name=scope, input_map=given)
    results = [f"{scope}/{tensors[function.ret[each.name]]}" for each in function.signature.output_arg]
    if len(results) != len(definition.outputs):
        raise ValueError(f"signature {name} has other outputs than its function")
    inputs = [definition.inputs[each].name for each in sorted(definition.inputs)]
    return (
        _callable(session, inputs, [f"{scope}/{first}:0"]),
        _callable(session, [f"{scope}/{last}:0"], results),
    )


def _callable(session: Any, feed: list[str], fetch: list[str]) -> Any:
    return session._make_callable_from_options(CallableOptions(feed=feed, fetch=fetch))


def _function(graph: Any, definition: SignatureDef, names: set[str]) -> Any:
    """The function of a signature that has operations of these names, and what it takes, as `_called`."""
    library = {each.signature.name: each for each in graph.library.function}
    nodes = {node.name: node for node in graph.node}
    calls = {info.name.split(":")[0] for info in definition.outputs.values()}
    for function, taken in _called([nodes[call] for call in calls if call in nodes], library, _tensor):
        if names <= {node.name for node in function.node_def}:
            return function, taken
    raise ValueError(f"its graph has no {' and '.join(sorted(names))}")


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _called(
    nodes: Any, library: Mapping[str, Any], outside: Callable[[str], str | None]
) -> Iterator[tuple[Any, dict[str, str | None]]]:
    """The functions that these operations call, the outer ones first.

    With each come the tensors of the graph itself that its arguments are: inputs, variables, constants.
    """
    for node in nodes:
        function = library.get(node.attr["f"].func.name) if "f" in node.attr else None
        if function is not None:
            arguments = [each.name for each in function.signature.input_arg]
            given = [outside(each) for each in node.input if not each.startswith("^")]
            taken = dict(zip(arguments, given, strict=True))
            yield function, taken
            yield from _called(function.node_def, library, taken.get)
