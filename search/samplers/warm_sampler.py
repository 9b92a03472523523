"""Warm start in any Optuna study: a sampler that tries what was best in earlier studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.genetic.history import union
from search.prior import PRIOR, index_of

from .warm import PriorSource, learn, proposal, taken


class WarmSampler(BaseSampler):
    """Another sampler, some of whose first trials repeat the best of earlier studies.

    ``WarmSampler(GeneticSampler(seed=0), [earlier])`` in ``optuna.create_study`` does what
    ``cxrsearch ga --from earlier`` does. Genes that the earlier studies don't know are the other
    sampler's. It keeps no state but what it is made with: which trials repeat what follows from
    the history (see `search.samplers.warm.proposal`), where they are marked with the user attribute
    ``prior``.

    Args:
        sampler: makes all other trials.
        earlier: studies on other data or other spaces; of several objectives the first counts.
        space: the genes, where they are known; otherwise they are those of the earlier studies.

    Raises:
        ValueError: no earlier study has a finished trial with a gene in common with ``space``.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        earlier: Sequence[Study],
        space: Mapping[str, BaseDistribution] | None = None,
    ) -> None:
        self.sampler = sampler
        sources = [PriorSource(s.study_name, s.get_trials(), s.directions[0]) for s in earlier]
        known = space or union([t for source in sources for t in source.trials], None)
        self.prior = learn(sources, known)
        if not self.prior.points:
            raise ValueError(
                f"none of the {len(sources)} earlier studies has a finished trial with a gene in "
                f"common with the space ({', '.join(known) or 'no genes'})"
            )

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Marks the trial if it is to repeat an earlier one."""
        self.sampler.before_trial(study, trial)
        if "fixed_params" in trial.system_attrs or index_of(trial, self.prior) is not None:
            return
        index = proposal(
            self.prior,
            study.get_trials(deepcopy=False),
            trial.number,
            direction=study.directions[0],
        )
        if index is not None:
            storage = study._storage
            storage.set_trial_user_attr(trial._trial_id, PRIOR, self.prior.mark(index))

    def _given(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genes of ``space`` that this trial repeats."""
        index = index_of(study._storage.get_trial(trial._trial_id), self.prior)
        return {} if index is None else taken(space, self.prior.points[index].params)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Those of the other sampler."""
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the other sampler proposes, with the repeated genes in the place of its own."""
        found = self.sampler.sample_relative(study, trial, search_space)
        space = {name: search_space[name] for name in found}
        return {**found, **self._given(study, trial, space)}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The repeated gene, or the other sampler's."""
        given = self._given(study, trial, {param_name: param_distribution})
        if param_name in given:
            return given[param_name]
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """The other sampler's business."""
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """The other sampler's business."""
        self.sampler.reseed_rng()
