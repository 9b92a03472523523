"""The benchmark of users' priors, on drawn problems."""

from __future__ import annotations

from typing import Any

from benchmarks.search.priors import KINDS, NONE, genes, grid, priors_of
from benchmarks.search.problems import problem
from search.space.gene_prior import ChoicePrior, NumberPrior


def test_right_vague_and_wrong_priors_lie_where_their_names_say() -> None:
    this = problem("rastrigin-mixed")
    found = {kind: priors_of(this, kind, 0) for kind in KINDS}
    assert all(set(priors) == set(this.distributions) for priors in found.values())
    for name, prior in found["right"].items():
        vague, wrong, mixed = (found[kind][name] for kind in ("vague", "wrong", "half"))
        assert mixed in (prior, wrong)
        if isinstance(prior, NumberPrior):
            assert isinstance(vague, NumberPrior)
            assert vague.at == prior.at
            assert vague.sd > prior.sd
        else:
            assert isinstance(vague, ChoicePrior)
            assert max(vague.weights) < max(prior.weights)
    assert found["right"] != found["wrong"]
    assert priors_of(this, "right", 1) != found["right"]


def test_genes_under_a_condition_have_priors_where_they_are_on() -> None:
    this = problem("models-two")
    priors = priors_of(this, "right", 0)
    assert set(priors) < set(this.distributions)
    assert set(genes(this, priors).stated) == set(this.conditions)


def test_ratios_are_of_the_same_problems_and_seeds() -> None:
    def cell(kind: str, seed: int, regret: float) -> dict[str, Any]:
        return {
            "kind": kind, "problem": "p", "seed": seed, "regrets": {"10": regret}, "doubted": 0.5
        }  # fmt: skip

    cells = [cell(NONE, 0, 0.4), cell(NONE, 1, 0.2), cell("right", 0, 0.1), cell("wrong", 1, 0.3)]
    rows = grid(cells, [10]).rows
    assert [row[:2] for row in rows] == [["right", "1"], ["wrong", "1"]]
    assert rows[0][2].startswith("0.25")
    assert rows[1][2].startswith("1.50")
