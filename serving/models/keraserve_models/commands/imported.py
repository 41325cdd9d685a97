"""An import as a person sees it: what was found out, and how far the written version differs."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from keraserve_models.commands.console import err, out
from keraserve_models.importing.request import ImportRequest

if TYPE_CHECKING:
    from keraserve_models.importing.findings import Trial
    from keraserve_models.importing.importer import Imported

_SHOWN = 4  # images whose classes are printed


def import_(request: ImportRequest) -> "Imported":
    """Import a model, and print what happens.

    Raises:
        ModelsError: as `importer.import_model`.
    """
    from keraserve_models import quiet

    with err.status("loading TensorFlow"):
        quiet.prepare()
        from keraserve_models.importing.findings import ScaleUnknown
        from keraserve_models.importing.importer import import_model
    try:
        done = import_model(request, lambda sentence: out.print(f"  {sentence}"))
    except ScaleUnknown as unknown:
        if unknown.trials:
            out.print(_answers(unknown.trials), soft_wrap=False)
        raise
    difference = f"largest difference {done.compared.largest:.2g} on {done.compared.what}"
    out.print(Text.assemble((f"{done.name} version {done.version}", "bold"), f": written, {difference}"))
    for warning in done.card["warnings"]:
        out.print(Text(f"  {warning}", "yellow"))
    return done


def _answers(trials: "Sequence[Trial]") -> Table:
    """The best class of a few images under every scaling; where folders are classes, how many are right."""
    folder = Path(os.path.commonpath([trial.file.parent for trial in trials]))
    table = Table(show_lines=True)
    table.add_column("image", overflow="fold", ratio=1)
    for scale in trials[0].answers:
        table.add_column(Text(f"--scale\n{scale.value}"), overflow="fold", ratio=1)
    for trial in trials[:: -(-len(trials) // _SHOWN)]:
        cells = (Text(f"{each.label}\n{each.probability:.1%}") for each in trial.answers.values())
        table.add_row(Text(str(trial.file.relative_to(folder))), *cells)
    right = [
        sum(trial.answers[scale].label == trial.file.parent.name for trial in trials)
        for scale in trials[0].answers
    ]
    if any(right):
        table.add_row(
            Text(f"right, of all {len(trials)}", "bold"), *(Text(str(each), "bold") for each in right)
        )
    return table
