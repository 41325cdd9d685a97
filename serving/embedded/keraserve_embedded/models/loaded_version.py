"""Load one version of a model from its SavedModel."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from keraserve_embedded.errors import Code, LoadError
from keraserve_embedded.models import digests, model_card
from keraserve_embedded.models.graph_cut import cut
from keraserve_embedded.models.signature import Origin, Signature, clean
from keraserve_embedded.quiet_tensorflow import SavedModel, has_gpu, session, tf
from keraserve_protocol.messages import SignatureDef, SignatureDefMap, TensorProto

log = logging.getLogger(__name__)

_SERVE = "serve"  # the tag of the graph for serving
_NOT_CALLED = ("__saved_model_init_op", "__saved_model_train_op")  # internal signatures
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")  # ops with weights in TensorFlow 2 and 1


class LoadedVersion:
    """A SavedModel in memory.

    Attributes:
        model: the model's name.
        number: the version.
        signatures: those that can be run, by name.
        definitions: every signature of the SavedModel, for GetModelMetadata.
        independent_rows: whether each row of a batch gives the same result as alone, so that requests may be
            merged and split.
        checked: the files whose digests were compared, by their paths in the folder.
        runtime: what runs the network, for the status; "" where nobody asked.
    """

    def __init__(
        self,
        model: str,
        number: int,
        folder: Path,
        *,
        assume_independent: bool = False,
        bfloat16: bool = False,
    ) -> None:
        """Load the SavedModel in `folder`, after its files are compared with its digests.

        Args:
            model: its name.
            number: its version.
            folder: of the version.
            assume_independent: rows are independent unless the version's model card says otherwise.
            bfloat16: convolutions and matrix products are computed in bfloat16.

        Raises:
            LoadError: with one line that says why.
        """
        self.model = model
        self.number = number
        measured = model_card.independent_rows(folder)
        self.independent_rows = assume_independent if measured is None else measured
        if assume_independent and measured is False:
            log.warning(
                "%s %d: its requests run alone: its card says that rows are not independent", model, number
            )
        try:
            self.checked = digests.check(folder)
            meta_graph = _meta_graph(folder)
            # As in TensorFlow Serving, the graph is in a session, which holds the variables.
            optimized = _optimizing_pays(meta_graph)
            self._session = session(tf.Graph(), optimized=optimized, bfloat16=bfloat16)
            with self._session.graph.as_default():
                tf.compat.v1.saved_model.load(self._session, [_SERVE], str(folder))
        except LoadError:
            raise
        except tf.errors.OpError as error:
            raise LoadError(_one_line(clean(error.message)), Code(error.error_code)) from None
        except Exception as error:
            # With a damaged SavedModel TensorFlow raises any exception: KeyError, ValueError, OSError.
            raise LoadError(_one_line(f"{type(error).__name__}: {error}")) from None
        self.definitions = SignatureDefMap()
        for name, definition in meta_graph.signature_def.items():
            self.definitions.signature_def[name].MergeFromString(definition.SerializeToString())
        self.signatures = self._prepare(meta_graph)
        self.runtime = "TensorFlow runs it, in bfloat16" if bfloat16 else ""

    def cut(self, names: Iterable[str], first: str, last: str) -> dict[str, Any]:
        """Both parts of each of these signatures, as `graph_cut.cut`."""
        graph, definitions = self._session.graph.as_graph_def(), self.definitions.signature_def
        return {name: cut(self._session, graph, name, definitions[name], first, last) for name in names}

    def _prepare(self, meta_graph: Any) -> dict[str, Signature]:
        prepared: dict[str, Signature] = {}
        for name, definition in self.definitions.signature_def.items():
            if name in _NOT_CALLED:
                continue
            try:
                defaults = _defaults(meta_graph.signature_def[name], definition)
                origin = Origin(self.model, self.number, name)
                prepared[name] = Signature.prepare(
                    origin, self._session, definition, defaults, independent=self.independent_rows
                )
            except Exception as error:
                # The other signatures are served.
                reason = _one_line(f"{type(error).__name__}: {error}")
                log.warning("%s %d: signature %s is not served: %s", self.model, self.number, name, reason)
        return prepared


def _optimizing_pays(meta_graph: Any) -> bool:
    """Tell whether the graph optimizer is worth its time, the larger part of a version's load (decision 7).

    It folds constants, and chooses a GPU's layouts and kernels. Weights in variables are no constants.
    """
    return has_gpu() or not any(node.op in _VARIABLES for node in meta_graph.graph_def.node)


def _meta_graph(folder: Path) -> Any:
    saved_model = SavedModel()
    binary = folder / "saved_model.pb"
    if binary.exists():
        saved_model.ParseFromString(binary.read_bytes())
    else:
        text_format.Parse((folder / "saved_model.pbtxt").read_text(encoding="utf-8"), saved_model)
    tagged = [graph for graph in saved_model.meta_graphs if _SERVE in graph.meta_info_def.tags]
    if not tagged:
        tags = [sorted(graph.meta_info_def.tags) for graph in saved_model.meta_graphs]
        raise LoadError(f"no graph tagged {_SERVE!r} in {folder}, only {tags}", Code.NOT_FOUND)
    return tagged[0]


def _defaults(definition: Any, ours: SignatureDef) -> Mapping[str, TensorProto]:
    return {
        name: TensorProto.FromString(value.SerializeToString())
        for name, value in definition.defaults.items()
        if name in ours.inputs
    }


def _one_line(text: str) -> str:
    """Shorten TensorFlow's message for a log line and a status."""
    line = " ".join(text.split())
    return line if len(line) <= 500 else f"{line[:500]}…"
