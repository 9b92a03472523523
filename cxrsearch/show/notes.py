"""Headline and provenance: what the page says in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import yaml

from cxrsearch.data.diseases import DISEASES
from search.genetic.lineage import doubted_priors
from search.prior import Prior

from .chosen import Chosen, choice_of
from .clock import SearchClock, duration
from .marks import marks_text
from .panels.front import front
from .rows import Interval, Row, count_states, mapping
from .section import Section
from .theme import score, show
from .view import Look, StudyView

FILES_LISTED = 50
MOST_TEXT = 60_000

CITATIONS = (
    "NIH ChestX-ray14: Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: "
    "Hospital-scale chest X-ray database and benchmarks on weakly-supervised classification "
    "and localization of common thorax diseases. CVPR 2017. Images: NIH Clinical Center.",
    "Importance: Watanabe S, Bansal A, Hutter F. PED-ANOVA: Efficiently quantifying "
    "hyperparameter importance in arbitrary subspaces. IJCAI 2023; conditional genes by "
    "conditional PED-ANOVA, as implemented in Optuna.",
    "Search: Optuna (Akiba et al., KDD 2019); DEAP (Fortin et al., JMLR 2012); Ray Tune "
    "(Liaw et al., 2018).",
)
"""Whom to cite; shown below every study (NIH's data only where it was not drawn)."""


class Fact(NamedTuple):
    """A labelled figure of the headline; ``note`` is the small print under it."""

    label: str
    value: str
    note: str = ""


def citations(view: StudyView) -> tuple[str, ...]:
    """Whom to cite for this study: NIH's data only where labels are NIH's and images not drawn."""
    nih = set(view.labels) >= set(DISEASES) and view.asked.get("data") != "phantom"
    return CITATIONS if nih else CITATIONS[1:]


def moment(seconds: float | None) -> str:
    """A time since 1970 as UTC text; a dash where unknown."""
    if seconds is None:
        return "–"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def headline(view: StudyView, now: float) -> list[Fact]:
    """The figures on top of the page."""
    best, complete = view.best, sum(r.state == "complete" for r in view.rows)
    chosen = choice_of(view)
    clock = SearchClock(view.every_row, now)
    facts = [
        _best_fact(best, complete), *_worth_facts(view, chosen), _test_fact(view, chosen),
        *_front_fact(view, complete),
    ]  # fmt: skip
    target = view.to_search
    total = len(view.rows)
    facts.append(Fact("Trials", f"{total} of {target}" if target else str(total), _states(view)))
    spent = sum(_spent(r, now) for r in view.every_row)
    pause = f", pauses of {duration(clock.paused)} left out" if clock.paused else ""
    facts.append(
        Fact(
            "Time",
            duration(clock.worked) if view.rows else "–",
            f"{duration(spent)} of work in all{pause}" if view.rows else "nothing has run yet",
        )
    )
    seen = sum(r.images_seen for r in view.every_row)
    facts.append(Fact("Images seen in training", f"{seen:,}" if seen else "–"))
    return facts


def _spent(row: Row, now: float) -> float:
    """Seconds of work on a trial; for one that runs, what it has run since its last span too."""
    done = row.seconds or 0.0
    if row.state != "running" or row.start is None:
        return done
    return done + max(0.0, now - max([row.start, *(span.end for span in row.spans)]))


def _best_fact(best: Row | None, complete: int) -> Fact:
    if best is None or best.value is None:
        return Fact("Best AUROC, validation", "–", "no trial is complete yet")
    interval = _interval(best.interval) or "no interval"
    return Fact(
        "Best AUROC, validation",
        f"{best.value:.3f}",
        f"{interval}; trial {best.number}, selected from {complete} complete trials, "
        "so it flatters",
    )


def _worth_facts(view: StudyView, chosen: Chosen) -> list[Fact]:
    """What the best is worth on new patients, corrected and confirmed."""
    if chosen.best is None:
        return []
    found = []
    if chosen.corrected is None:
        found.append(Fact("Corrected for luck", "–", chosen.luck.reason))
    else:
        what = "its choice among all trials" + " and their epochs" * chosen.luck.epochs
        note = f"{_interval(chosen.corrected_interval)}; without the luck of {what}"
        found.append(Fact("Corrected for luck", f"{chosen.corrected:.3f}", note))
    state, result = chosen.state, chosen.result
    if not state.finalists:
        return found
    reruns = f"{state.done} of {state.planned or state.done} reruns"
    if result is None or result.value is None or result.low is None or result.high is None:
        return [*found, Fact("Confirmed", "–", f"{reruns} so far")]
    note = f"{_interval((result.low, result.high))}; trial {result.number}, by {reruns}"
    label = "Confirmed" if state.over else "By reruns so far"
    return [*found, Fact(label, f"{result.value:.3f}", note)]


def _front_fact(view: StudyView, complete: int) -> list[Fact]:
    if len(view.goals) < 2:
        return []
    found = front(view.rows, view.goals).on
    note = f"of {complete} complete trials, by {' and '.join(view.goals)}"
    return [Fact("On the Pareto front", str(len(found)) if found else "–", note)]


def _test_fact(view: StudyView, chosen: Chosen) -> Fact:
    """Of the trial that is recommended, where a model of it was evaluated, else of the best."""
    count = len(view.tested)
    counted = f"{count} look{'s' * (count != 1)} at the test part so far"
    for number in (chosen.recommended, chosen.best):
        looks = view.looks_at(number)
        if looks:
            note = "; ".join(part for part in (_interval(looks[-1].interval), counted) if part)
            label = "Its AUROC, test" if number == chosen.best else f"AUROC of trial {number}, test"
            return Fact(label, f"{looks[-1].mean:.3f}", note)
    return Fact("Its AUROC, test", "–", f"the best trial is not evaluated; {counted}")


def _interval(bounds: Interval | None) -> str:
    return "" if bounds is None else f"95% interval {bounds[0]:.3f} to {bounds[1]:.3f}"


def _states(view: StudyView) -> str:
    counts = {name: n for name, n in count_states(view.every_row).items() if n and name != "total"}
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none yet"


def tagline(view: StudyView) -> list[str]:
    """Sampler, data, space, seed: a few words each, under the study's name."""
    config = view.record.config
    objective = view.asked.get("objective")
    return [
        f"sampler {config.sampler}",
        f"data {view.data_name}",
        f"space {view.record.space.name}",
        *([f"objective {objective}"] if objective and objective != "auroc" else []),
        f"seed {config.seed}",
        "running" if view.record.driver_alive else "not running",
    ]


def provenance(view: StudyView) -> list[tuple[str, str]]:
    """Labelled facts on where the figures come from."""
    config, data = view.record.config, view.data
    times = [r.start for r in view.rows if r.start is not None]
    ends = [r.end for r in view.rows if r.end is not None]
    halving = config.halving
    found: list[tuple[str, Any]] = [
        ("Study made", view.settings.get("created")),
        ("First trial started", moment(min(times)) if times else None),
        ("Last trial ended", moment(max(ends)) if ends else None),
        ("Study seed", config.seed),
        ("Sampler", _options(config.sampler, config.sampler_options)),
        ("Started from", _earlier(config.prior)),
        ("Early stopping", "off" if halving is None else _halving(halving)),
        ("Retries after a lost worker", config.retries),
        ("Data", view.data_name),
        ("Data fingerprint", data.get("fingerprint") or view.record.attrs.get("data_fingerprint")),
        ("Images", data.get("images")),
        ("Unlabelled images", data.get("unlabelled")),
        ("Cached at (pixels a side)", data.get("frame")),
        ("Split fingerprint", view.split),
        ("Space", f"{view.record.space.name}, fingerprint {view.record.space.fingerprint}"),
        ("Priors of genes", _priors(view)),
        ("Versions", _versions(view)),
        ("Devices", ", ".join(sorted({r.device for r in view.rows if r.device}))),
    ]
    return [(label, str(value)) for label, value in found if value not in (None, "")]


def _priors(view: StudyView) -> str:
    """What was believed of the genes, and which of it the trials contradict by now."""
    genes = view.record.space.genes.values()
    said = "; ".join(f"{gene.name} {gene.prior_words}" for gene in genes if gene.prior)
    wrong = doubted_priors(view.trials) if said else []
    return said + f". The trials contradict: {', '.join(map(str, wrong))}" * bool(wrong)


def _options(name: str, options: Mapping[str, Any]) -> str:
    given = ", ".join(f"{key} {show(value)}" for key, value in options.items())
    return f"{name} ({given})" if given else name


def _halving(halving: Any) -> str:
    rule = "the others wait" if halving.promote else f"from {halving.min_peers} trials on"
    wobble = f"; {halving.margin:g} sd of the curves' wobble behind is not behind"
    share = ", shorter trials at the same share" if halving.length else ""
    return (
        f"successive halving: the best 1 in {halving.reduction} go on, {rule}, first after epoch "
        f"{halving.grace}{share}{wobble if halving.margin else ''}"
    )


def _earlier(prior: Prior | None) -> str:
    studies = prior.studies if prior else ()
    return "; ".join(f"{s.name}, {s.trials} trials, fingerprint {s.fingerprint}" for s in studies)


def _versions(view: StudyView) -> str:
    versions = mapping(view.settings.get("versions"))
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def notes(view: StudyView) -> list[str]:
    """What the search had to say: its own notes, unreadable files, the best trial's notes."""
    given = view.settings.get("notes")
    found = [str(note) for note in given] if isinstance(given, list) else []
    if marks := marks_text(view.marks, searches_uncertain(view)):
        found.insert(0, marks)
    if view.best is not None:
        found += [f"Best trial: {note}" for note in view.best.notes]
    return [*dict.fromkeys([*found, *view.problems])]


def searches_uncertain(view: StudyView) -> bool:
    """Whether trials of the study choose what uncertain marks count as."""
    return any("uncertain" in row.params or "uncertain" in row.settings for row in view.rows)


def left_out(view: StudyView) -> list[str]:
    """Images that could not be read, with the reason; at most `FILES_LISTED` of them."""
    images = mapping(view.data.get("left_out"))
    listed = [f"{name}: {reason}" for name, reason in list(images.items())[:FILES_LISTED]]
    if len(images) > FILES_LISTED:
        listed.append(f"and {len(images) - FILES_LISTED} more (all are named in study.yaml)")
    return listed


def looks_table(looks: tuple[Look, ...]) -> list[tuple[str, ...]]:
    """Time, model, trial, part and score of each look."""
    return [
        (
            look.time or "–",
            look.model or "–",
            "–" if look.trial is None else str(look.trial),
            look.part,
            score(look.mean, look.interval),
        )
        for look in looks
    ]


def configuration(view: StudyView) -> str:
    """study.yaml as text, for reference; the space alone where there is no study.yaml."""
    record = view.settings or {"space": view.record.space.to_dict()}
    # Through JSON, so that nothing but plain values reaches the dumper.
    plain = json.loads(json.dumps(record, default=str))
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "\n… (see study.yaml)\n"


def sections(view: StudyView, now: float) -> list[Section]:
    """Notes, looks at the test part, and where the figures come from."""
    values = {
        "notes": notes(view),
        "left_out": left_out(view),
        "looks": looks_table(view.looks),
        "provenance": provenance(view),
        "citations": citations(view),
        "configuration": configuration(view),
    }
    return [Section("notes", "Notes", "Notes and provenance", macro="about", values=values)]
