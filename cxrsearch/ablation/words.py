"""What a verdict says in plain words, made from its numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from cxrsearch.show.panels.labels import named
from cxrsearch.show.rows import Interval, mapping, number, pair, whole

FEW_POSITIVES = 10
"""Positives of a label in the test part below which its intervals are not to be trusted."""


class ArmVerdict(NamedTuple):
    """One arm of a verdict. Values are None where none of its cells ended well.

    ``answer`` is ``baseline``, ``helped``, ``hurt``, ``unclear`` or ``failed``. ``own`` is the
    arm's own 95% interval of its ``difference`` to the baseline, ``joint`` the one that holds for
    all arms together. ``labels`` has by name (AUROC, difference, its own interval).
    ``comparable`` says whether there are seeds and patients enough to name any difference.
    """

    name: str
    title: str
    sentence: str
    answer: str
    difference: float | None
    own: Interval | None
    joint: Interval | None
    test: float | None
    interval: Interval | None
    by_seed: tuple[float, ...]
    validation: float | None
    image_steps: float | None
    seconds: float | None
    cells: int
    failed: tuple[str, ...]
    notes: tuple[str, ...]
    labels: Mapping[str, tuple[float, float, Interval | None]]
    comparable: bool = False


def arms_of(verdict: Mapping[str, Any]) -> list[ArmVerdict]:
    """The arms of verdict.json, the baseline first, then the largest difference first."""
    found = [_arm(mapping(entry)) for entry in verdict.get("arms") or ()]
    return sorted(
        found, key=lambda a: (a.answer != "baseline", a.difference is None, -(a.difference or 0.0))
    )


def _arm(entry: Mapping[str, Any]) -> ArmVerdict:
    test, difference = mapping(entry.get("test")), mapping(entry.get("difference"))
    labels: dict[str, tuple[float, float, Interval | None]] = {}
    for name, item in mapping(entry.get("diseases")).items():
        value, by = number(item.get("auroc")), number(item.get("difference"))
        if value is not None and by is not None:
            labels[name] = (value, by, pair(item.get("interval")))
    return ArmVerdict(
        name=str(entry.get("name")),
        title=str(entry.get("title") or entry.get("name")),
        sentence=str(entry.get("sentence") or ""),
        answer=str(entry.get("answer") or "failed"),
        difference=number(difference.get("value")),
        own=pair(difference.get("interval")),
        joint=pair(difference.get("simultaneous")),
        test=number(test.get("mean")),
        interval=pair(test.get("interval")),
        by_seed=tuple(v for item in test.get("by_seed") or () if (v := number(item)) is not None),
        validation=number(entry.get("validation")),
        image_steps=number(entry.get("image_steps")),
        seconds=number(entry.get("seconds")),
        cells=whole(entry.get("cells")) or 0,
        failed=tuple(str(item) for item in entry.get("failed") or ()),
        notes=tuple(str(item) for item in entry.get("notes") or ()),
        labels=labels,
        comparable=difference.get("comparable") is True,
    )


def title(verdict: Mapping[str, Any]) -> str:
    """``What helps on my-xrays, without ImageNet weights``."""
    drawn = ", on drawn X-rays" if verdict.get("phantom") else ""
    without = ", without ImageNet weights" if verdict.get("init") != "imagenet" else ""
    data = "" if verdict.get("phantom") else f" on {verdict.get('data')}"
    return f"What helps{data}{drawn}{without}"


def signed(value: float) -> str:
    """``+0.021``, ``−0.003``; ``0.000`` without a sign."""
    text = f"{abs(value):.3f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def shown(arm: ArmVerdict, joint: bool = True) -> str:
    """``+0.021 (+0.008 to +0.034)``."""
    ends = arm.joint if joint else arm.own
    if arm.difference is None or ends is None:
        return "–"
    return f"{signed(arm.difference)} ({signed(ends[0])} to {signed(ends[1])})"


def reach(arms: Sequence[ArmVerdict]) -> float | None:
    """Half the width of the median joint interval: smaller differences cannot be seen."""
    halves = [(a.joint[1] - a.joint[0]) / 2 for a in arms if a.joint and a.answer != "baseline"]
    return median(halves) if halves else None


def conclusion(verdict: Mapping[str, Any]) -> list[str]:
    """The verdict as sentences, the answer first."""
    arms = arms_of(verdict)
    by = {answer: [a for a in arms if a.answer == answer]
          for answer in ("helped", "hurt", "unclear", "failed")}  # fmt: skip
    by["hurt"].reverse()
    lines = []
    if by["helped"]:
        lines.append(f"Better than the baseline: {_listed(by['helped'])}.")
    elif by["hurt"] or by["unclear"]:
        lines.append("No arm was shown to be better than the baseline.")
    if by["hurt"]:
        lines.append(f"Worse than the baseline: {_listed(by['hurt'])}.")
    if by["unclear"]:
        lines.append(f"No difference could be shown for {_listed(by['unclear'])}.")
    if by["failed"]:
        names = ", ".join(a.title for a in by["failed"])
        lines.append(f"Not judged, as no training of theirs ended well: {names}.")
    seeds = whole(verdict.get("seeds")) or 0
    if seeds > 1 and (least := reach(arms)) is not None:
        patients = whole(mapping(verdict.get("test")).get("patients")) or 0
        lines.append(
            f"With these {patients:,} test patients and {seeds} seeds, a difference below about "
            f"±{least:.3f} cannot be seen."
        )
    return lines


def _listed(arms: Sequence[ArmVerdict]) -> str:
    return "; ".join(f"{arm.title} {shown(arm)}" for arm in arms)


def limits(verdict: Mapping[str, Any]) -> list[str]:
    """What the verdict does not say, most important first."""
    found = []
    if verdict.get("phantom"):
        found.append(
            "The pictures are drawn: what helps on them need not help on X-rays of people."
        )
    if verdict.get("init") != "imagenet":
        found.append(
            "No network started from ImageNet weights. With them the baseline is a stronger one, "
            "and whatever makes up for missing pre-training may be worth less."
        )
    budget, seeds = mapping(verdict.get("budget")), whole(verdict.get("seeds")) or 0
    steps = whole(budget.get("image_steps")) or 0
    found.append(
        f"One size and one budget: {verdict.get('model')} at {verdict.get('input_size')} pixels, "
        f"{steps:,} image-steps an arm and seed ({verdict.get('epochs')} epochs of the baseline). "
        "Another budget may rank the arms otherwise."
    )
    if seeds == 1:
        found.append(
            "One seed: the intervals hold the choice of patients, not a training's luck, so no arm "
            "can be called better or worse."
        )
    elif seeds < 5:
        found.append(f"Only {seeds} seeds: how far trainings differ by luck is known roughly.")
    found += [
        "Each arm is added to the baseline alone, with the baseline's learning rate and schedule; "
        "only searched arms could choose others.",
        "The largest of many differences flatters: the best arm is selected among all.",
    ]
    positives = mapping(mapping(verdict.get("test")).get("positives"))
    counts = {name: whole(positives.get(name)) for name in verdict.get("diseases") or ()}
    few = [
        f"{name} ({count})"
        for name, count in counts.items()
        if count is not None and count < FEW_POSITIVES
    ]
    if few:
        found.append(
            f"Fewer than {FEW_POSITIVES} positives in the test part: {named(few)}. "
            "A resample holds none or the same few of them, so what these add to a mean is less "
            "sure than its interval."
        )
    if missing := verdict.get("diseases_left_out"):
        names = named([str(name) for name in missing])
        found.append(f"Not in the mean, for want of positives in some part: {names}.")
    arms = arms_of(verdict)
    found += [f"{a.title}: {len(a.failed)} of its trainings failed ({a.failed[0][:200]})."
              for a in arms if a.failed]  # fmt: skip
    left = mapping(verdict.get("arms_left_out"))
    return found + [f"Arm not there, {name}: {why}." for name, why in left.items()]


def equal(verdict: Mapping[str, Any]) -> str:
    """What was held equal, in a sentence or two."""
    steps = whole(mapping(verdict.get("budget")).get("image_steps")) or 0
    return (
        f"Held equal: the split of patients, the seeds, and {steps:,} image-steps an arm and seed, "
        "pre-training and search included. An image-step is one image of the baseline's size "
        "forward and backward through its network; other sizes count by their pixels, images taken "
        "forward only a third. Epochs, recipes and members were chosen on validation; differences "
        "are judged on the test part, which was scored when all choices were made."
    )
