"""What the Train tab's lists offer: runs to look at, and datasets to train on."""

from ui.components.tab import View
from ui.components.words import Words
from ui.train.plan import list_sources
from ui.train.watch import find_watched
from ui.workspace.workspace import Workspace


def list_runs_to_show(workspace: Workspace, t: Words, view: View) -> list[tuple[str, str]]:
    """(label, value) of a new run, the runs that are there, those that a job is making, and the view's own.

    A run that a job failed to make is offered where the view names it, and nowhere else.
    """
    made = [*(job.run for job in workspace.jobs.active(kind="train")), find_watched(workspace, view)]
    names = filter(None, dict.fromkeys([*workspace.run_names(), *made]))
    return [(t("train.new"), ""), *((name, name) for name in names)]


def list_data(workspace: Workspace) -> list[tuple[str, str]]:
    """(label, key) of the datasets; the label is the name, or the key where two have the same name."""
    found = list(list_sources(workspace).values())
    names = [source.name for source in found]
    return [(each.name if names.count(each.name) == 1 else each.key, each.key) for each in found]
