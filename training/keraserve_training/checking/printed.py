"""Print what was found, for people and for programs."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keraserve_models import atomic
from keraserve_training import number_format
from keraserve_training.checking.check import Checked
from keraserve_training.checking.finding import Finding

_NAMED = 4  # files of a finding, or groups of them
_TOGETHER = 3  # files of a group
_CLASSES = 24  # more are not listed one by one
HEADINGS = {"serious": "Serious", "look": "Worth a look", "note": "For information"}
_STYLES = {"serious": "bold red", "look": "bold yellow", "note": "bold"}


def show(checked: Checked, out: Console) -> None:
    """Print the classes, and each finding with some of its files and what to do."""
    root = checked.layout.root
    for sentence in checked.layout.said:
        out.print(f"{root.name}: {sentence}", soft_wrap=True)
    out.print(_table(checked))
    for level, heading in HEADINGS.items():
        findings = [finding for finding in checked.findings if finding.level == level]
        if findings:
            out.print(f"\n{heading}", style=_STYLES[level])
        for finding in findings:
            _print(finding, root, out)
    images = sum(map(len, checked.layout.files.values()))
    verdict = "nothing serious" if not checked.serious else "see what is serious"
    took = number_format.duration(checked.seconds)
    out.print(f"\n{images:,} image{'' if images == 1 else 's'} in {took}: {verdict}.")


def record(checked: Checked) -> dict[str, Any]:
    """The same in JSON's types; paths are relative to the folder."""
    root = checked.layout.root
    return {
        "folder": str(root),
        "serious": checked.serious,
        "classes": checked.parts,
        "findings": [
            {
                "key": finding.key,
                "level": finding.level,
                "about": finding.about,
                "todo": finding.todo,
                "count": len(finding.files),
                "files": [[relative(file, root) for file in group] for group in finding.files],
                "reasons": list(finding.reasons),
            }
            for finding in checked.findings
        ],
        "seconds": round(checked.seconds, 2),
    }


def write(checked: Checked, file: Path) -> None:
    """Write `record` to a file."""
    atomic.write_text(file, json.dumps(record(checked), indent=2) + "\n")


def relative(file: Path, root: Path) -> str:
    """A file's path in the folder; a name that is no UTF-8 can't be printed as it is."""
    return os.fsencode(file.relative_to(root)).decode(errors="replace")


def _print(finding: Finding, root: Path, out: Console) -> None:
    out.print(_indented("- ", finding.about))
    for place, group in enumerate(finding.files[:_NAMED]):
        names = " = ".join(relative(file, root) for file in group[:_TOGETHER])
        more = f" = {len(group) - _TOGETHER:,} more" if group[_TOGETHER:] else ""
        why = f" ({finding.reasons[place]})" if finding.reasons else ""
        out.print(Text(f"  {names}{more}{why}", style="cyan"), soft_wrap=True)
    if finding.files[_NAMED:]:
        out.print(f"  … and {len(finding.files) - _NAMED:,} more")
    if finding.todo:
        out.print(_indented("→ ", finding.todo))


def _indented(mark: str, sentence: str) -> Table:
    """A sentence behind a mark, also in its second line."""
    grid = Table.grid()
    grid.add_column(width=len(mark))
    grid.add_column()
    grid.add_row(mark, sentence)
    return grid


def _table(checked: Checked) -> Table:
    """How many images each class has in each part; of many classes, the extremes."""
    parts = checked.parts
    names = sorted({name for counts in parts.values() for name in counts})
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for part in parts:
        table.add_column(part or "images", justify="right")
    if len(names) > _CLASSES:
        names.sort(key=lambda name: sum(counts.get(name, 0) for counts in parts.values()))
        half = _CLASSES // 2
        names = [*names[:half], "", *names[-half:]]
    for name in names:
        cells = [f"{counts[name]:,}" if name in counts else "none" for counts in parts.values() if name]
        table.add_row(Text(name or "…"), *cells)
    if len(names) > 1:
        table.add_row("all", *(f"{sum(counts.values()):,}" for counts in parts.values()), style="dim")
    return table
