"""The genetic algorithm, as an Optuna sampler."""

from __future__ import annotations

from .sampler import GeneticSampler

__all__ = ["GeneticSampler"]
