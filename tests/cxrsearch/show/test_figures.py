from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution

from cxrsearch.data.diseases import DISEASES
from cxrsearch.show.clock import SearchClock, duration
from cxrsearch.show.panels.ancestry import ancestry, ancestry_figure, change_text
from cxrsearch.show.panels.curves import chosen, curves_figure, loss_curves, value_curves
from cxrsearch.show.panels.exposure import exposures, exposures_figure
from cxrsearch.show.panels.genes import (
    INACTIVE,
    ordered,
    parallel,
    parallel_figure,
    searched,
    share,
)
from cxrsearch.show.panels.history import AXES, history, history_figure
from cxrsearch.show.panels.importance import importance, importance_figure
from cxrsearch.show.panels.labels import label_scores, labels_figure
from cxrsearch.show.panels.population import generations, population_figure
from cxrsearch.show.panels.ratios import ratios, ratios_figure, sections
from cxrsearch.show.panels.workers import schedule, schedule_figure
from cxrsearch.show.rows import row
from cxrsearch.show.theme import blend, faded, hover
from cxrsearch.show.view import CurvePoint, Look


def rows_of(trials: list[Any], alive: bool = False) -> list[Any]:
    return [row(t, alive) for t in trials]


@pytest.mark.parametrize("alive", [True, False])
def test_every_figure_builds_on_every_kind_of_study(any_trials: list[Any], alive: bool) -> None:
    rows = rows_of(any_trials, alive)
    genes = searched(any_trials)
    best = max((r for r in rows if r.state == "complete"), key=lambda r: r.value, default=None)
    numbers = importance(any_trials)
    figures = [
        *(history_figure(history(rows, by, now=2e9)) for by in AXES),
        curves_figure(value_curves(rows), "AUROC"),
        curves_figure(loss_curves(rows, {0: (CurvePoint(1, 0.4, 1e-3, 0.5),)}), "loss"),
        parallel_figure(parallel(rows, genes, ordered(genes, numbers.shares))),
        importance_figure(numbers),
        labels_figure(label_scores(best)),
        population_figure(generations(rows, any_trials, 10)),
        ancestry_figure(ancestry(rows, any_trials)),
        schedule_figure(schedule(rows, now=2e9)),
        exposures_figure(exposures(best, {"images": 100, "Mass": 5})),
    ]
    for figure in figures:
        json.loads(figure.to_json())


def test_best_so_far_ignores_what_is_not_complete(make: SimpleNamespace) -> None:
    trials = [
        make.trial(0, value=0.6),
        make.trial(1, "pruned", value=0.9),
        make.trial(2, value=0.55),
        make.trial(3, value=0.7),
        make.trial(4, value=0.65),
    ]
    found = history(rows_of(trials))
    assert [(p.x, p.value, p.trial) for p in found.best] == [(0, 0.6, 0), (3, 0.7, 3), (4, 0.7, 3)]
    assert found.best[0].interval == pytest.approx((0.55, 0.65))
    assert len(found.dots) == 5


def test_by_generation_the_best_counts_at_the_generation(make: SimpleNamespace) -> None:
    trials = [make.trial(n, value=0.5 + n / 100, attrs={"generation": n // 2}) for n in range(4)]
    found = history(rows_of(trials), "generation")
    assert [(p.x, p.trial) for p in found.best] == [(0, 0), (0, 1), (1, 2), (1, 3), (1, 3)]
    assert [round(d.x, 2) for d in found.dots] == [-0.15, 0.15, 0.85, 1.15]


def test_by_time_a_trial_counts_when_it_ends(make: SimpleNamespace) -> None:
    start = make.start
    slow = make.trial(0, value=0.7, attrs={"spans": [["w", start, start + 590]]})
    fast = make.trial(1, value=0.6, attrs={"spans": [["v", start, start + 60]]})
    found = history(rows_of([slow, fast]), "time")
    assert found.unit == "minutes"
    assert [p.trial for p in found.best] == [1, 0, 0]
    assert found.best[0].x == pytest.approx(1.0)


def test_pauses_between_runs_are_left_out(make: SimpleNamespace) -> None:
    start = make.start
    spans = [[["w", start, start + 100]], [["w", start + 40_000, start + 40_100]]]
    clock = SearchClock(rows_of([make.trial(n, attrs={"spans": s}) for n, s in enumerate(spans)]))
    assert clock.paused == pytest.approx(39_900)
    assert clock.total == pytest.approx(200)
    assert clock(start + 50) == pytest.approx(50)
    assert clock(start + 40_050) == pytest.approx(150)


def test_overlapping_spans_make_no_pause(make: SimpleNamespace) -> None:
    start = make.start
    spans = [[["w", start, start + 5000]], [["v", start + 10, start + 20]]]
    clock = SearchClock(rows_of([make.trial(n, attrs={"spans": s}) for n, s in enumerate(spans)]))
    assert clock.paused == 0
    assert clock.total == 5000


def test_time_of_search_is_that_in_which_a_trial_ran(make: SimpleNamespace) -> None:
    spans = [[["a", 0, 100]], [["b", 50, 150]], [["a", 400, 500]]]
    rows = [make.trial(n, attrs={"spans": s}) for n, s in enumerate(spans)]
    running = make.trial(3, "running", attrs={"spans": [["a", 0, 10], ["a", 600, 640]]})
    assert SearchClock(rows_of(rows)).worked == pytest.approx(250)
    assert SearchClock([*rows_of(rows), row(running, True)], now=700.0).worked == pytest.approx(350)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (1.25, "1.2 s"), (75, "1 min 15 s"), (3900, "1 h 05 min"), (90_000, "1 d 1 h")],
)
def test_durations_are_readable(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_best_curve_comes_last_and_is_marked(make: SimpleNamespace) -> None:
    trials = [make.trial(0, value=0.8), make.trial(1, value=0.6), make.trial(2, "pruned")]
    curves = value_curves(rows_of(trials))
    assert [c.row.number for c in curves] == [1, 2, 0]
    assert curves[-1].best
    assert curves_figure(curves, "")["data"][1]["line"]["dash"] == "dash"


def test_many_trials_are_thinned_to_the_best_and_the_latest(make: SimpleNamespace) -> None:
    rows = rows_of([make.trial(n, value=1 - n / 100) for n in range(40)])
    assert [r.number for r in chosen(rows, 10)] == [0, 1, 2, 3, 4, 35, 36, 37, 38, 39]


def test_inactive_gene_has_its_own_tick(make: SimpleNamespace) -> None:
    found = parallel(rows_of(make.mixed()), make.genes, ["model", "lr", "dropout"])
    dropout = found.axes[2]
    assert dropout.inactive
    assert not found.axes[1].inactive
    for line in found.lines:
        active = "dropout" in line.row.params
        assert (line.heights[2] >= 0) == active
        assert active or line.heights[2] == pytest.approx(INACTIVE, abs=0.031)
    assert found.hidden == 2
    assert [axis.kind for axis in found.axes] == ["categorical", "log", "linear", "value"]


def test_heights_follow_the_scale() -> None:
    assert share(1e-3, 1e-4, 1e-2, True) == pytest.approx(0.5)
    assert share(0.25, 0.0, 0.5) == pytest.approx(0.5)
    assert share(3.0, 3.0, 3.0) == 0.5
    assert share(9.0, 0.0, 1.0) == 1.0


def test_log_axis_is_labelled_at_powers_of_ten(make: SimpleNamespace) -> None:
    axis = parallel(rows_of(make.mixed()), make.genes, ["lr"]).axes[0]
    assert [label for _, label in axis.ticks] == ["0.0001", "0.001", "0.01"]


def test_important_genes_come_first() -> None:
    assert ordered({"a": 0, "b": 0, "c": 0}, {"c": 0.7, "a": 0.3}) == ["c", "a", "b"]


def test_importance_finds_the_gene_that_matters(make: SimpleNamespace) -> None:
    trials = [
        make.trial(n, value=0.5 + 0.3 * ((n * 7) % 40) / 40, params={
            "lr": 1e-4 * 10 ** (2 * ((n * 7) % 40) / 40), "epochs": 2 + n % 5,
        })
        for n in range(40)
    ]  # fmt: skip
    found = importance(trials)
    assert next(iter(found.shares)) == "lr"
    assert sum(found.shares.values()) == pytest.approx(1)
    assert (found.trials, found.top) == (40, 5)


def test_importance_handles_conditional_genes_and_says_what_it_rests_on(
    make: SimpleNamespace,
) -> None:
    found = importance(make.mixed())
    assert set(found.shares) == set(make.genes)
    assert found.trials == 24
    assert 0 < found.active["dropout"] < 24
    assert found == importance(make.mixed())


def test_few_trials_say_nothing_about_importance(make: SimpleNamespace) -> None:
    assert importance([make.trial(n) for n in range(11)]).shares == {}


def test_labels_without_a_score_are_named(make: SimpleNamespace) -> None:
    best = row(make.trial(0, value=0.7), False)
    found = label_scores(best, counts={"Mass": 12}, labels=DISEASES)
    assert [d.name for d in found.judged] == ["Edema", "Mass"]
    assert "Hernia" in found.not_judged
    assert len(found.not_judged) == 12
    assert found.judged[1].positives == 12
    assert found.judged[1].interval == pytest.approx((0.6, 0.8))


def test_test_scores_stand_beside_validation(make: SimpleNamespace) -> None:
    look = Look("t", "m", 0, 0.65, None, {"Mass": 0.64}, {"Mass": (0.5, 0.7)})
    found = label_scores(row(make.trial(0, value=0.7), False), look)
    assert [(d.name, d.test) for d in found.judged] == [("Edema", None), ("Mass", 0.64)]
    assert [t.name for t in labels_figure(found).data] == ["validation (selected)", "test"]


def test_generations_know_their_median_best_and_diversity(make: SimpleNamespace) -> None:
    found = generations(rows_of(make.mixed()), make.mixed(), 10)
    assert [g.number for g in found] == [0, 1, 2]
    assert all(g.diversity is not None and 0 < g.diversity < 1 for g in found)
    assert found[0].best == max(r.value for r in found[0].rows if r.state == "complete")
    assert len(found[0].rows) == 9


def test_lineage_follows_the_first_parent(make: SimpleNamespace) -> None:
    trials = [make.trial(n, value=0.6) for n in range(20)] + [make.trial(20, value=0.9)]
    found = ancestry(rows_of(trials), trials)
    assert [step.row.number for step in found.line] == [0, 10, 20]
    assert found.line[-1].gained == pytest.approx(0.3)
    assert {r.number for r in found.ancestors} == {0, 3, 6, 10, 13, 20}
    assert (13, 20) in found.edges
    changes = {c.gene: (c.old, c.new) for c in found.line[-1].changes}
    assert changes["model"] == ("densenet121", "vgg16")
    assert changes["dropout"] == (None, 0.0)
    assert change_text(found.line[-1].changes[0]) == "dropout n/a → 0"


def test_a_lineage_that_loops_or_dangles_ends(make: SimpleNamespace) -> None:
    trials = [
        make.trial(0, value=0.6, attrs={"lineage": {"parents": [1]}}),
        make.trial(1, value=0.7, attrs={"lineage": {"parents": [1, 0, 99]}}),
    ]
    assert [step.row.number for step in ancestry(rows_of(trials), trials).line] == [0, 1]


def test_schedule_has_a_bar_for_every_span_and_one_for_what_runs(make: SimpleNamespace) -> None:
    start = make.start
    spans = [["worker 10", start, start + 100], ["worker 9", start, start + 50]]
    trials = [
        make.trial(0, attrs={"spans": spans}),
        make.trial(1, "running", attrs={"spans": [], "started": start + 100}),
    ]  # fmt: skip
    found = schedule(rows_of(trials, alive=True), now=start + 200)
    assert found.workers == ["worker 9", "worker 10", "now: trial 1"]
    assert [(b.worker, b.seconds) for b in found.bars][-1] == ("now: trial 1", 100)
    assert found.busy == {"worker 9": pytest.approx(0.25), "worker 10": pytest.approx(0.5)}


def test_exposure_stands_beside_prevalence(make: SimpleNamespace) -> None:
    best = row(make.trial(0), False)
    found = exposures(best, {"images": 200, "Mass": 10, "Hernia": 1})
    assert [(e.name, e.drawn, e.prevalence) for e in found] == [
        ("Hernia", 0.0, 0.005), ("Mass", 0.3, 0.05)
    ]  # fmt: skip
    assert exposures(None) == []


def test_hover_text_is_escaped(make: SimpleNamespace) -> None:
    evil = make.trial(
        0,
        params={"<b>x": "<img src=x>"},
        attrs={"reason": "<i>"},
        extra={"<b>x": CategoricalDistribution(["<img src=x>", "y"])},
    )
    shown = hover(row(evil, False))
    assert "<img" not in shown
    assert "&lt;img src=x&gt;" in shown
    assert "<i>" not in shown


def test_colours_are_made_right() -> None:
    assert faded("#0a141e", 0.5) == "rgba(10,20,30,0.5)"
    assert blend("#000000", "#ffffff", 0.5) == "#808080"


def test_ratios_stand_beside_exposure_and_auroc_of_the_best_trials(make: SimpleNamespace) -> None:
    def trial(number: int, value: float, **ratios: float) -> Any:
        given = {"params": {**ratios, "train_seed": 0.25}, "exposure": {"Mass": 0.2, "Hernia": 0.1},
                 "auroc": {"Mass": value, "Hernia": None}}  # fmt: skip
        return make.trial(number, value=value, params={}, attrs=given)

    trials = [trial(n, 0.5 + n / 100, ratio_Mass=1.0 + n) for n in range(12)]
    counts = {"images": 100, "Mass": 10, "Hernia": 1, "No Finding": 50}
    found = ratios(rows_of(trials), counts, DISEASES)
    assert found is not None
    assert [row.number for row, _ in found.trials] == [11, 10, 9, 8, 7, 6, 5, 4]
    assert (found.complete, found.names[-1], len(found.names)) == (12, "No Finding", 15)
    best = {drawn.name: drawn for drawn in found.trials[0][1]}
    assert best["Mass"] == ("Mass", 12.0, 0.2, pytest.approx(0.61))
    assert best["Hernia"] == ("Hernia", 1.0, 0.1, None)
    assert best["No Finding"] == ("No Finding", 1.0, None, None)
    figure = json.loads(ratios_figure(found).to_json())
    assert {trace.get("xaxis", "x") for trace in figure["data"]} == {"x", "x2", "x3"}
    assert figure["data"][-1]["x"][found.names.index("Mass")] == pytest.approx(0.61)


def test_ratios_are_shown_where_there_are_some_only(make: SimpleNamespace) -> None:
    assert ratios(rows_of([make.trial(0)])) is None
    fresh = make.trial(0, "running", attrs={"params": {"ratio_Mass": 2.0}})
    found = ratios(rows_of([fresh]))
    assert found is not None
    assert found.trials == []


@pytest.mark.parametrize("count", [1, 100])
def test_the_page_has_a_part_for_ratios(make: SimpleNamespace, count: int) -> None:
    given = {"params": {"ratio_Mass": 2.0, "train_seed": 0.25, "balance": 0.5}}
    view = make.view([make.trial(n, attrs=dict(given)) for n in range(count)])
    (part,) = sections(view, 1.7e9)
    assert part.panels[0].figure is not None
    assert "more than 4 times as often" in part.panels[0].caption
    assert ("The best 8 of 100" in part.panels[0].caption) == (count == 100)
