"""A genetic algorithm as an Optuna sampler, built from DEAP's operators."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.seeds import derive
from search.space.conditions import Genes, conditions
from search.space.unit import from_unit
from search.trials.marks import LINEAGE
from search.trials.summary import CARRIED, carried_of, fit, params_of, past_of

from .again import ANEW, SHARE, repeat_of, worth_repeating
from .covariances import COVARIANCES, FittedCovariances, kept
from .design import design, row_of
from .favour import favoured
from .gaussian_process import one_thread
from .gaussian_process_fit import fitted
from .history import History
from .lineage import DOUBTED
from .model import FAILURES, FITTED_ON, LOOKED_AT, RUNNING_BELIEVED, Features, Model, milestone
from .offspring import Breeding, offspring, operator_of
from .operators import Individual, Operators, distance
from .recipes import TriedRecipes, grouped, key_of_params
from .several import with_several

SCHEMES = ("steady", "generational")
INITIAL = 6
"""Trials before the first child where a surrogate weighs what they leave open."""
ATTEMPTS = 40


@dataclass
class _Child:
    values: dict[str, Any]
    operator: str
    parents: Sequence[Individual] = ()
    doubted: Sequence[str] = ()
    covariances: FittedCovariances | None = None
    """Those that were fitted for it; None where an earlier trial's served."""

    def lineage(self) -> dict[str, Any]:
        old = self.parents[0].values if self.parents else {}
        changed = {n: [old[n], v] for n, v in self.values.items() if n in old and old[n] != v}
        found = {
            "parents": [parent.number for parent in self.parents],
            "operator": self.operator,
            "changed": changed,
        }
        return {**found, DOUBTED: list(self.doubted)} if self.doubted else found


class GeneticSampler(BaseSampler):
    """A genetic algorithm that keeps no state.

    Each ask is a pure function of the seed, the trial's number, the finished trials and
    the parameters of the unfinished trials with lower numbers. A search that was
    interrupted therefore goes on as if it had not been, and a sampler may be made anew for
    every ask. It works in any study, with conditional parameters, pruners and ``n_jobs``;
    DEAP's global generator is neither used nor touched. With several objectives the population
    is NSGA-II's; see `search.genetic.several`.

    The first ``initial`` trials are a Latin hypercube; trials with given genes
    (``Study.enqueue_trial``) that are near-copies of each other come on top. After them many
    children are bred from the population, and the one that Gaussian processes over the finished
    trials find most promising becomes the trial; docs/search.md has the steps and their sources.
    The population are the ``population_size`` trials with the highest expected value.
    Pruned trials count by an estimate of their final value; failed ones are never parents,
    and count as the worst. Those that the machine ended (user attribute ``reason`` among
    `search.objective.MACHINE`) count by such an estimate where there is one, and else for
    nothing. No combination of the genes that matter is tried twice, as long
    as there is a new one to find; in a space of up to 10,000 combinations it is found for
    certain. With ``repeats`` a good one may be tried again on purpose.

    Two user attributes are written with every trial: ``lineage`` (parents, operator, changed
    genes, and those whose priors the trials contradict; see `search.genetic.lineage`) and
    ``carried`` (the value of every gene, also of those that a condition switched off: a
    descendant that switches them on inherits it). A trial for which the surrogate's covariances
    were fitted anew keeps them as a system attribute, and the trials after it use them; see
    `search.genetic.covariances`.

    Args:
        seed: where every draw comes from; ``None`` draws one now.
        population_size: individuals in the population, at least 2.
        scheme: ``"steady"``: every finished trial may be a parent at once, nobody waits.
            ``"generational"``: the textbook (mu + lambda) scheme with both equal to
            ``population_size``; parents come from earlier generations only. A runner that
            asks `ready` before it asks for a trial has the barrier; one that does not, as
            ``Study.optimize``, works with what is there.
        space: the genes, where they are known; otherwise they are learnt from the trials. As
            `search.space.conditions.Genes`, such as `SearchSpace.distributions` returns, they say
            which of them switch others on, which is learnt otherwise, and where a user believes
            that their best values lie; see `search.genetic.favour`.
        tournament: individuals that compete to be a parent, at least 1.
        crossover_probability: of a child to have two parents.
        mutation_rate: genes that a mutation changes on average, at least.
        mutation_strength: standard deviation of a numeric gene's first mutations in the unit
            interval, without the surrogate. It shrinks with the square root of the number
            of finished trials.
        initial: trials before the first child, at least 2. By default `INITIAL`, or fewer if the
            population is smaller; without the surrogate, and in the generational scheme,
            ``population_size``.
        surrogate: whether offspring are pre-selected. Without it a trial is the first child
            of the best trials so far, pruned ones ranking below complete ones
            (`search.trials.halving.credit`), that is not close to a failed one.
        length: the gene, or the fixed parameter, that holds a trial's number of steps, where
            trials differ: stopped ones are compared by the share of it that they have done. By
            default ``epochs``, where the trials bear it out; see `search.trials.estimates`.
        repeats: whether one of the best recipes may be tried once more, for objectives with noise,
            in place of a new one: that by which the final choice, `search.expectation.recommend`'s,
            is expected to gain the most. One trial in `search.genetic.again.SHARE` is such a
            repeat, none before there are ten recipes, and none where there is no noise. For one
            objective and with the surrogate only.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        population_size: int = 10,
        scheme: str = "steady",
        space: Mapping[str, BaseDistribution] | None = None,
        tournament: int = 3,
        crossover_probability: float = 0.8,
        mutation_rate: float = 1.5,
        mutation_strength: float = 0.2,
        initial: int | None = None,
        surrogate: bool = True,
        length: str | None = None,
        repeats: bool = False,
    ) -> None:
        if population_size < 2:
            raise ValueError(f"population_size must be at least 2, got {population_size}")
        if scheme not in SCHEMES:
            raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, got {scheme!r}")
        if initial is not None and initial < 2:
            raise ValueError(f"initial must be at least 2, got {initial}")
        if tournament < 1:
            raise ValueError(f"tournament must be at least 1, got {tournament}")
        if not 0.0 <= crossover_probability <= 1.0:
            raise ValueError(
                f"crossover_probability must be in [0, 1], got {crossover_probability}"
            )
        if mutation_rate <= 0.0 or mutation_strength <= 0.0:
            raise ValueError(
                "mutation_rate and mutation_strength must be above 0, got "
                f"{mutation_rate} and {mutation_strength}"
            )
        self.seed = secrets.randbelow(2**31) if seed is None else int(seed)
        self.population_size = population_size
        self.scheme = scheme
        self._space = None if space is None else copy.copy(space)
        self._priors = space.priors if isinstance(space, Genes) else {}
        self._length = length
        self._tournament = tournament
        self._crossover = crossover_probability
        self._rate = mutation_rate
        self._strength = mutation_strength
        self._surrogate = surrogate
        self._repeats = repeats
        usual = min(INITIAL, population_size) if surrogate else population_size
        self._initial = initial or (population_size if scheme == "generational" else usual)

    def generation(self, number: int) -> int:
        """The generation that trial ``number`` belongs to."""
        return number // self.population_size

    def ready(self, trials: Iterable[FrozenTrial], number: int) -> bool:
        """Whether trial ``number`` may be asked for by now.

        Always, in the steady scheme. In the generational one when all trials of earlier
        generations have ended.
        """
        if self.scheme == "steady":
            return True
        barrier = self.generation(number) * self.population_size
        return sum(t.number < barrier and t.state.is_finished() for t in trials) == barrier

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every gene seen so far, or given; also those that this trial may not need."""
        memo = past_of(study, self._length)
        with memo.lock:
            memo.look(study.get_trials(deepcopy=False))
            return memo.genes(trial.number, self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genes of this trial. Writes ``lineage`` and ``carried`` with it."""
        below = None
        if self.scheme == "generational":
            below = self.generation(trial.number) * self.population_size
        memo, trials = past_of(study, self._length), study.get_trials(deepcopy=False)
        with memo.lock:
            memo.look(trials)
            history = History.of(memo, trial.number, self.seed, search_space, below, self._length)
            row = row_of(trials, trial.number, self._initial, search_space)
            child = self._child(with_several(history, study, trial.number), trial, row)
        storage, key = study._storage, trial._trial_id
        storage.set_trial_user_attr(key, LINEAGE, child.lineage())
        storage.set_trial_user_attr(key, CARRIED, child.values)
        if child.covariances is not None:
            storage.set_trial_system_attr(key, COVARIANCES, child.covariances.plain())
        return {name: child.values[name] for name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A gene met for the first time, or one whose range has changed since."""
        carried = carried_of(study._storage.get_trial(trial._trial_id))
        if param_name in carried:
            return fit(param_distribution, carried[param_name])
        space = {param_name: param_distribution}
        row = row_of(study.get_trials(deepcopy=False), trial.number, self._initial, space)
        return design(self.seed, row, self._initial, space, self._priors)[param_name]

    def _child(self, history: History, trial: FrozenTrial, row: int) -> _Child:
        number, space = trial.number, history.layout.space
        fixed = {
            name: fit(space[name], value)
            for name, value in trial.system_attrs.get("fixed_params", {}).items()
            if name in space
        }
        enough = len(history.ranked) >= max(2, self._initial // 2)
        rng = Random(derive(self.seed, "child", number))
        if row < self._initial or not enough:
            label = "initial" if row < self._initial else "random"
            drawn = design(self.seed, row, self._initial, space, self._priors)
            first = _Child({**drawn, **fixed}, label)
            if not space or not history.is_tried(first.values):
                return first
        else:
            bred = None
            if self._surrogate:
                with one_thread():
                    bred = self._choose(history, number, rng, fixed)
            bred = bred or self._breed(history, rng, fixed)
            if bred is not None:
                return bred
        return self._random(history, rng, fixed)

    def _choose(
        self, history: History, number: int, rng: Random, fixed: dict[str, Any]
    ) -> _Child | None:
        """The most promising of many offspring, or None if all of them were tried before."""
        looked_at = history.chosen(LOOKED_AT)
        seen = (trial.params for trial in looked_at)
        rules = conditions(seen, history.layout.space, self._space)
        killed = history.killed[-FAILURES:]
        features = Features(history.layout, rules)
        known = self._known(history, features, number)
        covariances = known or self._fitted(history, features)
        if covariances is None:
            return None
        model = Model(
            features,
            covariances.belief,
            history.observed([*looked_at, *killed, *history.failed[-FAILURES:]]),
            [history.place(t) for t in history.running if carried_of(t) or params_of(t)],
            number,
        )
        # One objective's hold for later asks; of several each ask weighs them anew.
        new = covariances if known is None and history.scores is None else None
        if self._repeats and not fixed and (repeat := self._again(history, features, model)):
            return replace(repeat, covariances=new)
        parents = [*looked_at, *killed]
        if self._repeats:  # a recipe is one parent, however often it was tried
            parents = list({key_of_params(t.params): t for t in reversed(parents)}.values())
        population = history.promising(parents, model.expected, self.population_size)
        operators = Operators(history.layout, rng, self._tournament)
        breeding = Breeding(self._crossover, self._rate)
        favour = favoured(self._priors, history, features, model)
        doubted = favour.doubted if favour else ()
        for candidate in offspring(operators, population, model, breeding, rules, favour):
            values = operators.decode(candidate.numbers, candidate.classes, candidate.roots)
            values.update(fixed)
            if not history.is_tried(values):
                operator = operator_of(candidate, values)
                return _Child(values, operator, candidate.roots, doubted, new)
        return None

    def _known(self, history: History, features: Features, number: int) -> FittedCovariances | None:
        """The covariances of an earlier trial, or None where the next ones are due."""
        if history.scores is not None:
            return None
        genes = len(history.layout.space)
        found = kept(history.trials, number, features.fingerprint, genes)
        due = found is None or found.trials < milestone(len(history.learnt))
        return None if due else found

    def _fitted(self, history: History, features: Features) -> FittedCovariances | None:
        """The covariances that the first trials, up to the last milestone, leave plausible.

        None where none has a value: with several objectives, and nothing but stopped trials.
        """
        trials = milestone(len(history.learnt))
        early = history.observed(history.chosen(FITTED_ON, trials))
        if not early:
            return None
        return FittedCovariances(fitted(features.data(early)), trials, features.fingerprint)

    def _again(self, history: History, features: Features, model: Model) -> _Child | None:
        """A recipe that is worth trying once more, or None."""
        done = sum(repeat_of(t) is not None for t in (*history.learnt, *history.running))
        if history.scores is not None or SHARE * (done + 1) > len(history.learnt):
            return None
        running = [t for t in history.running if carried_of(t) or params_of(t)]
        places = [history.place(t) for t in running if repeat_of(t) is None][-RUNNING_BELIEVED:]
        tried = TriedRecipes(grouped(history), features, model.belief, LOOKED_AT)
        found = worth_repeating(tried, running, model.rows(places))
        if found is None:
            return None
        first = next(t for t in history.learnt if t.number == found.numbers[0])
        parent = history.individual(first)
        return _Child(dict(parent.values), ANEW, (parent,))

    def _breed(self, history: History, rng: Random, fixed: dict[str, Any]) -> _Child | None:
        """A child that was not tried before, or None if the mutations found none."""
        population = history.population(self.population_size)
        operators = Operators(history.layout, rng, self._tournament)
        shrink = (self.population_size / len(history.ranked)) ** 0.5
        strength = self._strength * min(shrink, 1.0)
        for attempt in range(ATTEMPTS):
            growth = 1.1**attempt
            child = self._vary(operators, population, growth, strength)
            child.values.update(fixed)
            avoid = attempt < ATTEMPTS // 2 and history.is_near_bad(child.values, strength / 2)
            if not avoid and not history.is_tried(child.values):
                return child
        return None

    def _vary(
        self, operators: Operators, population: list[Individual], growth: float, strength: float
    ) -> _Child:
        rng = operators.rng
        crossed = len(population) > 1 and rng.random() < self._crossover
        parents = operators.parents(population, 2 if crossed else 1)
        numbers, classes = operators.mate(*parents) if crossed else parents[0].copy()
        genes = max(len(parents[0].expressed), 1)
        probability = min(self._rate * growth / genes, 1.0)
        mutant = operators.mutate(numbers, classes, probability, min(strength * growth, 0.5))
        mutated = mutant != (numbers, classes)
        if crossed:
            parents.sort(key=lambda p: distance(p, *mutant))
        name = ("crossover+mutation" if mutated else "crossover") if crossed else "mutation"
        return _Child(operators.decode(*mutant, parents), name, parents)

    def _random(self, history: History, rng: Random, fixed: dict[str, Any]) -> _Child:
        """A random child; one that was tried before only if no new one could be found."""
        space = history.layout.space
        for _ in range(ATTEMPTS):
            values = {n: from_unit(dist, rng.random()) for n, dist in space.items()}
            values.update(fixed)
            if not history.is_tried(values):
                return _Child(values, "random")
        return _Child(history.untried(fixed, rng) or values, "random")
