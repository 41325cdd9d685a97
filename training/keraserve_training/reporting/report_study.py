"""The values of the HTML report's template for a study."""

from typing import Any

from keraserve_training import number_format
from keraserve_training.experiment import Experiment
from keraserve_training.records import description
from keraserve_training.reporting.content import Content
from keraserve_training.reporting.embedding import embed
from keraserve_training.studies import study, vary


def study_part(content: Content) -> dict[str, Any] | None:
    """The best study of an experiment: its question, plot, sentences and tables."""
    if not content.study:
        return None
    there, summary = content.study
    return {
        "title": study.heading(summary),
        "explanation": f"{summary['explanation']} {summary['pieces']} pieces,"
        f" {number_format.duration(summary['seconds'])} of training in all." + _overall(summary),
        "procedural": summary["procedural"],
        "profile": summary["profile"]["name"],
        "profile_explanation": summary["profile"]["explanation"],
        "image": embed(there / study.PLOT, "Gain of every seed, with means and 95 % intervals", chart=True),
        "words": study.words(summary),
        "tables": [_table(content.experiment, summary, compared) for compared in summary["comparisons"]],
    }


def varied_part(content: Content) -> list[dict[str, Any]]:
    """Each study of one setting: its plot and sentences."""
    return [
        {
            "title": f"{summary['setting']} varied"
            + (f" ({summary['what']})" if summary["what"] != description.UNCHANGED else ""),
            "explanation": f"{summary['about']} Each value learnt with {summary['seeds']} seeds,"
            f" {number_format.duration(summary['seconds'])} of training in all. The figures are those of the"
            " test images: who chooses a value by them has to test it on others.",
            "procedural": summary["procedural"],
            "profile": summary["profile"]["name"],
            "profile_explanation": summary["profile"]["explanation"],
            "image": embed(there / vary.PLOT, f"{summary['figure']['title']} of every value", chart=True),
            "words": vary.words(summary),
            "tables": [],
        }
        for there, summary in content.varied
    ]


def _overall(summary: dict[str, Any]) -> str:
    """What the row over all variants means; empty if there is one variant."""
    if len(summary["variants"]) < 2:
        return ""
    return (
        " The last line averages the variants for each seed first, so its interval is that of another seed"
        " with these variants, not of other variants."
    )


def _table(experiment: Experiment, summary: dict[str, Any], compared: dict[str, Any]) -> dict[str, Any]:
    """One comparison, with a row for each variant."""
    titles = {figure.metric: figure.title for figure in experiment.figures}
    return {
        "title": compared["title"],
        "compared": [titles.get(metric, metric) for metric in compared["metrics"]],
        "rows": [_row(summary, compared, name) for name in compared["gain"]],
    }


def _row(summary: dict[str, Any], compared: dict[str, Any], name: str) -> dict[str, str]:
    gain = compared["gain"][name]
    means = list(compared["means"][name].values()) if name in compared["means"] else []
    return {
        "name": f"{summary['variants'][name]} ({name})" if name in summary["variants"] else name,
        "first": number_format.percent(means[0]) if means else "",
        "second": number_format.percent(means[1]) if means else "",
        "gain": number_format.points(gain["mean"]),
        "interval": f"{number_format.points(gain['low'])} to {number_format.points(gain['high'])}"
        if gain["low"] is not None
        else "one seed",
    }
