"""Options that every program has which reads its command line with argparse: its version, and completion."""

import argparse
import re
import shlex
import sys
from importlib.metadata import version
from typing import Any

_SHELLS = ("bash", "zsh", "fish")


def add(
    parser: argparse.ArgumentParser, distribution: str, show_completion: str = "--show-completion"
) -> None:
    """Add `--version` and an option that shows a shell's completion: both end the program."""
    parser.add_argument("--version", action="version", version=f"{parser.prog} {version(distribution)}")
    parser.add_argument(
        show_completion,
        action=_ShowCompletion,
        dest=argparse.SUPPRESS,
        default=argparse.SUPPRESS,
        choices=_SHELLS,
        help="print lines for the start-up file of your shell that complete the options",
    )


class _ShowCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _: argparse.Namespace, values: Any, *__: Any) -> None:
        sys.stdout.write(_lines(parser, str(values)))
        parser.exit()


def _lines(parser: argparse.ArgumentParser, shell: str) -> str:
    flags = re.findall(r"--[\w-]+", parser.format_usage())
    if shell == "fish":
        return "".join(f"complete -c {parser.prog} -l {flag.removeprefix('--')}\n" for flag in flags)
    first = "autoload -Uz bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return f"{first}complete -o default -W {shlex.quote(' '.join(flags))} {parser.prog}\n"
