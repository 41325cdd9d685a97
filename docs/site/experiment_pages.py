"""A page for each experiment: question, answer and how it is done, from its code and `docs/results.md`."""

import inspect
import re
from pathlib import Path

from staging import ROOT, adapted

from keraserve_training import experiments, number_format
from keraserve_training.experiment import Experiment
from keraserve_training.options import flag
from keraserve_training.reporting import sources
from keraserve_training.settings import written

FOLDER = Path("docs/experiments")
_HEADINGS = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)*): ", re.MULTILINE)


def write(folder: Path) -> None:
    """Write the overview and all pages below `folder`."""
    results = (ROOT / "docs/results.md").read_text()
    rules = (ROOT / "docs/rules.md").read_text()
    (folder / FOLDER).mkdir(parents=True)
    (folder / FOLDER / "index.md").write_text(_overview())
    for experiment in experiments.EXPERIMENTS:
        text = adapted(_page(experiment, results, rules), FOLDER / f"{experiment.name}.md", folder)
        (folder / FOLDER / f"{experiment.name}.md").write_text(text)


def _overview() -> str:
    lines = [
        "# The twelve experiments",
        "",
        "Each is one system of a course note on transfer learning, with the question that the note asks about"
        " it. The pages say what our runs answered. [Experiments](../experiments.md) says how to run them,"
        " [the rules](../rules.md) what they teach together, [the notebooks](../../notebooks/index.md)"
        " go through them step by step.",
    ]
    source = ""
    for experiment in experiments.EXPERIMENTS:
        if experiment.source != source:
            source = experiment.source
            lines += ["", f"## {sources.of(source).title}", ""]
        question = sources.QUESTIONS[experiment.name]
        lines += [f"- [{experiment.name}]({experiment.name}.md): {question}"]
    names = "\n".join(experiment.name for experiment in experiments.EXPERIMENTS)
    return "\n".join(lines) + f"\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def _page(experiment: Experiment, results: str, rules: str) -> str:
    module = f"training/keraserve_training/experiments/{experiment.name.replace('-', '_')}.py"
    task, answer, runs, plots = _section(experiment.name, results)
    facts = {
        "data": experiment.data,
        "pre-trained weights": experiment.weights,
        "parameters": number_format.value(experiment.parameters, "count"),
        "options": ", ".join(f"`{flag(option)}`" for option in experiment.takes) or "none",
        "models it exports": ", ".join(f"`{servable.name}`" for servable in experiment.servables),
    }
    return "\n\n".join(
        [
            f"# {experiment.name}",
            f"**{sources.QUESTIONS[experiment.name]}**",
            f"{experiment.title}. {experiment.task}",
            _rules(experiment.name, rules),
            "## What the runs showed",
            *([f"In these runs: {task}"] if task != experiment.task else []),
            *answer,
            *plots,
            "## Figures",
            _figures(experiment.name, results),
            "The runs:",
            *runs,
            "## How it is done",
            _docstring(module),
            "\n".join(["| | |", "|---|---|", *(f"| {what} | {said} |" for what, said in facts.items())]),
            *_settings(experiment),
            f"The whole experiment is one file: [{Path(module).name}](../../{module}).",
        ]
    )


def _section(name: str, results: str) -> tuple[str, list[str], list[str], list[str]]:
    """The experiment's section of `results.md`: its task, the answer, the runs, the plots.

    Raises:
        ValueError: it has none, or one of another form.
    """
    match = re.search(rf"^### {re.escape(name)}\n(.*?)(?=^##|\Z)", results, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"docs/results.md has no section {name!r}")
    task, question, *rest = match[1].strip().replace("](results/", "](../results/").split("\n\n")
    if not question.startswith("The source document asks"):
        raise ValueError(f"docs/results.md asks no question in the section {name!r}")
    runs = [paragraph for paragraph in rest if paragraph.startswith("- Run: ")]
    plots = [paragraph for paragraph in rest if paragraph.startswith("![")]
    return task, [paragraph for paragraph in rest if paragraph not in runs + plots], runs, plots


def _figures(name: str, results: str) -> str:
    """Its rows of the tables in `results.md`, without columns that say nothing."""
    rows = [line.split("|")[2:] for line in results.splitlines() if line.startswith(f"| `{name}` |")]
    titles = ["figure", "source document", "ours", "over seeds", "run"]
    cells = [[cell.strip() for cell in row[: len(titles)]] for row in rows]
    kept = [number for number, column in enumerate(zip(*cells, strict=True)) if set(column) != {""}]
    if len({row[-1] for row in cells}) == 1:
        kept.remove(len(titles) - 1)
    table = [titles, ["---"] * len(titles), *cells]
    return "\n".join(f"| {' | '.join(row[number] for number in kept)} |" for row in table)


def _settings(experiment: Experiment) -> list[str]:
    """A table of what `--set` changes; nothing where that is nothing."""
    rows = [
        f"| `{each.name}` | {written(each.default)} | {each.allowed} | {each.about} |"
        for each in experiment.settings.declared().values()
        if not each.of_study
    ]
    head = ["| `--set` | as it is | allowed | what |", "|---|---|---|---|"]
    return ["\n".join([*head, *rows])] if rows else []


def _docstring(module: str) -> str:
    """What the experiment's function says of itself, its headings in bold."""
    name = Path(module).stem
    function = getattr(__import__(f"keraserve_training.experiments.{name}", fromlist=[name]), name)
    said = inspect.getdoc(function) or ""
    joined = re.sub(r"\n +", " ", said)
    return _HEADINGS.sub(r"\n**\1:** ", joined)


def _rules(name: str, rules: str) -> str:
    """Which sections of `rules.md` name the experiment."""
    sections = re.split(r"^## ", rules, flags=re.MULTILINE)[1:]
    titles = [section.splitlines()[0] for section in sections if f"#{name})" in section]
    if not titles:
        return ""
    anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
    links = [f"[{title}](../rules.md#{anchor})" for title, anchor in zip(titles, anchors, strict=True)]
    return "Rules that it shows: " + "; ".join(links) + "."
