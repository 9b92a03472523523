"""Which genes tell the best trials from the others (PED-ANOVA)."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import optuna
import plotly.graph_objects as go
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from cxrsearch.show.section import Panel
from cxrsearch.show.theme import STYLES, figure, text
from search.trials.marks import same_as

IMPORTANCE_FROM = 12
"""Complete trials below which nothing is said about importance."""
TOP_TRIALS = 5
"""Trials that must be in the top part, as PED-ANOVA's authors advise."""


class Importance(NamedTuple):
    """Shares by gene, largest first, adding up to 1, and what they rest on.

    ``shares`` is empty where nothing can be said. ``active`` is the number of complete
    trials in which a gene was active: below ``trials`` for a conditional one.
    """

    shares: dict[str, float]
    active: dict[str, int]
    trials: int
    top: int


def importance(trials: Sequence[FrozenTrial]) -> Importance:
    """Importance of each gene for reaching the top part of the complete trials.

    Conditional genes are handled by Optuna's conditional PED-ANOVA: a gene counts where
    it was active. Genes with one value, or active in a single trial, get no share. Repeats of
    other trials are left out.
    """
    done = [
        t
        for t in trials
        if t.state == TrialState.COMPLETE and t.values and math.isfinite(t.values[0])
        if same_as(t) is None
    ]
    genes = sorted({name for t in done for name in t.distributions})
    active = {name: sum(name in t.distributions for t in done) for name in genes}
    if len(done) < IMPORTANCE_FROM or not genes:
        return Importance({}, active, len(done), 0)
    quantile = min(0.5, max(0.1, TOP_TRIALS / len(done)))
    shares = _evaluate(done, genes, quantile)
    total = sum(shares.values())
    if not total > 0 or not math.isfinite(total):
        shares = {}
    ranked = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    return Importance(
        {name: share / total for name, share in ranked},
        active,
        len(done),
        math.ceil(quantile * len(done)),
    )


def _evaluate(done: Sequence[FrozenTrial], genes: list[str], quantile: float) -> dict[str, float]:
    """Unnormalised shares. Optuna wants a study, so the trials are copied into one."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction="maximize")
            study.add_trials([_first_only(trial) for trial in done])
            return get_param_importances(
                study,
                evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile),
                params=genes,
                normalize=False,
            )
    finally:
        optuna.logging.set_verbosity(verbosity)


def _first_only(trial: FrozenTrial) -> FrozenTrial:
    """The trial with its first objective alone: the AUROC is what importance is for."""
    single = copy.copy(trial)
    single.values = trial.values[:1]
    return single


def importance_figure(numbers: Importance, most: int = 16) -> go.Figure:
    """Bars, the most important gene on top; at most ``most`` of them."""
    shown = list(numbers.shares.items())[:most][::-1]
    fig = figure(96 + 26 * len(shown))
    names = [text(name) for name, _ in shown]
    notes = [
        f"{text(name)}: {share:.1%}<br>active in {numbers.active[name]} of {numbers.trials}"
        for name, share in shown
    ]
    fig.add_bar(
        x=[share for _, share in shown],
        y=names,
        orientation="h",
        marker={"color": STYLES["complete"].colour},
        text=[
            f"{share:.0%}" + ("" if numbers.active[name] == numbers.trials else " (conditional)")
            for name, share in shown
        ],
        textposition="outside",
        cliponaxis=False,
        hovertext=notes,
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    fig.update_layout(margin={"l": 20, "r": 90, "t": 34, "b": 44}, bargap=0.35)
    fig.update_xaxes(title_text="share of the importance", tickformat=".0%", rangemode="tozero")
    fig.update_yaxes(automargin=True, type="category", showgrid=False)
    return fig


def importance_panel(numbers: Importance) -> Panel:
    """The figure with its caption, or why there is none."""
    if not numbers.shares:
        few = numbers.trials < IMPORTANCE_FROM
        why = (
            f"it takes at least {IMPORTANCE_FROM}"
            if few
            else "no gene tells the best from the others"
        )
        return Panel("", sentence=f"Nothing to say from {numbers.trials} complete trials: {why}.")
    weak = " So few trials give a hint, no more." if numbers.trials < 50 else ""
    return Panel(
        "",
        importance_figure(numbers),
        caption=f"PED-ANOVA over {numbers.trials} complete trials: how far a gene tells the best "
        f"{numbers.top} from the rest. Pruned trials do not count.{weak} It says which genes "
        "mattered in this search, not which value is right.",
    )
