import io
from types import SimpleNamespace
from typing import Any

from optuna.trial import TrialState
from rich.console import Console

from cxrsearch.durations import clock
from cxrsearch.study.progress import Progress


def event(kind: str, number: int, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(kind=kind, number=number, **more)


def ended(number: int, state: TrialState, value: float | None, **attrs: Any) -> SimpleNamespace:
    trial = SimpleNamespace(
        number=number, state=state, values=None if value is None else [value],
        intermediate_values={}, params={}, user_attrs=attrs,
    )  # fmt: skip
    return event("end", number, trial=trial)


def shown(*events: SimpleNamespace, target: int = 4) -> str:
    text = io.StringIO()
    with Progress(target, console=Console(file=text, width=200)) as progress:
        for one in events:
            progress(one)
    return text.getvalue()


def test_a_log_file_gets_one_line_a_finished_trial() -> None:
    text = shown(
        event("start", 0),
        event("step", 0, step=SimpleNamespace(number=1)),
        ended(0, TrialState.COMPLETE, 0.61),
        ended(1, TrialState.PRUNED, 0.55, reason="halving"),
        ended(2, TrialState.FAIL, None, reason="nan"),
    )
    lines = text.splitlines()
    assert len(lines) == 3
    assert "complete 0.6100 *" in lines[0]
    assert "left" in lines[0]
    assert "pruned (halving)" in lines[1]
    assert "best 0.6100 (trial 0)" in lines[1]
    assert "failed (nan)" in lines[2]


def test_brackets_in_a_reason_are_not_markup() -> None:
    assert "[red]" in shown(ended(0, TrialState.FAIL, None, reason="[red]boom"))


def test_running_trials_are_named_with_their_epoch() -> None:
    progress = Progress(4, console=Console(file=io.StringIO()))
    progress(event("start", 7))
    progress(event("step", 7, step=SimpleNamespace(number=3)))
    assert "1 running: 7 (epoch 3)" in progress.summary()


def test_clock() -> None:
    assert [clock(s) for s in (5, 75, 7300)] == ["0:05", "1:15", "2:01:40"]


def test_a_paused_trial_counts_as_done_until_it_goes_on() -> None:
    pause = ended(1, TrialState.RUNNING, 0.5)
    pause.kind = "pause"
    lines = shown(event("start", 1), pause, event("retry", 1), pause).splitlines()
    assert lines[0].startswith("[    1/4] trial 1")
    assert "paused 0.5000" in lines[0]
    assert "goes on" in lines[1]
    assert lines[2].startswith("[    1/4]")
    ending = ended(1, TrialState.PRUNED, 0.5)
    text = io.StringIO()
    progress = Progress(4, paused={1}, console=Console(file=text, width=200))
    progress(ending)
    assert text.getvalue().startswith("[    1/4]")


def test_no_time_is_promised_while_paused_trials_may_go_on() -> None:
    pause = ended(1, TrialState.RUNNING, 0.5)
    pause.kind = "pause"
    for target, promised in ((2, True), (1, False)):
        text = io.StringIO()
        Progress(target, console=Console(file=text, width=200))(pause)
        assert (" left" in text.getvalue()) == promised


def test_a_repeat_is_told_as_one_and_is_no_news() -> None:
    text = shown(
        ended(0, TrialState.COMPLETE, 0.61), ended(1, TrialState.COMPLETE, 0.61, same_as=0)
    )
    assert "same as trial 0 0.6100 |" in text
    assert "2/4" in text.splitlines()[1]


def test_reruns_are_counted_by_themselves_and_are_none_of_the_best() -> None:
    text = io.StringIO()
    progress = Progress(2, finished=1, best=(0.6, 0), console=Console(file=text, width=200))
    progress(ended(1, TrialState.COMPLETE, 0.61))
    progress.confirming((1, 0), 3, {1: [0.5]}, 1)
    progress(ended(3, TrialState.COMPLETE, 0.7, confirms=1, round=1))
    progress(ended(4, TrialState.FAIL, None, confirms=0, round=0, reason="nan"))
    lines = text.getvalue().splitlines()
    assert lines[1] == (
        "confirming: best 0.6100 (trial 1); trials 1, 0 by 3 reruns on fresh seeds and splits, "
        "1 of them done"
    )
    assert lines[2].startswith(
        "[    2/3] trial 3    rerun of 1   complete 0.7000 | mean 0.6000 of 2"
    )
    assert lines[3].startswith("[    3/3] trial 4    rerun of 0   failed (nan) | ")
    assert progress.best == (0.61, 1)


def test_a_trial_that_the_end_of_the_search_left_waiting_does_not_run_beside_the_reruns() -> None:
    progress = Progress(2, best=(0.6, 0), console=Console(file=io.StringIO()))
    progress(event("start", 1))
    assert progress.summary().startswith("1 running: 1 (epoch 0)")
    progress.confirming((0,), 3, {}, 0)
    assert progress.summary().startswith("starting")
    progress(event("start", 2))
    assert progress.summary().startswith("1 running: 2 (epoch 0)")
