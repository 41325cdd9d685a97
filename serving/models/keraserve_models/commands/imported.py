"""An import as a person sees it: what was found out, and how far the written version differs."""

from rich.text import Text

from keraserve_models.commands.console import err, out
from keraserve_models.importing.request import ImportRequest


def import_(request: ImportRequest) -> None:
    """Import a model, and print what happens.

    Raises:
        ModelsError: as `importer.import_model`.
    """
    from keraserve_models import quiet

    with err.status("loading TensorFlow"):
        quiet.prepare()
        from keraserve_models.importing.importer import import_model
    done = import_model(request, lambda sentence: out.print(f"  {sentence}"))
    difference = f"largest difference {done.compared.largest:.2g} on {done.compared.what}"
    out.print(Text.assemble((f"{done.name} version {done.version}", "bold"), f": written, {difference}"))
    for warning in done.card["warnings"]:
        out.print(Text(f"  {warning}", "yellow"))
