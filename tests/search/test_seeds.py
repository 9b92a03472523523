from __future__ import annotations

from search.seeds import derive


def test_seeds_are_stable_across_versions() -> None:
    assert derive(0, "sampler", 7) == 484697728
    assert derive("a") == 1264801575


def test_seeds_depend_on_every_part_and_its_type() -> None:
    seeds = {derive(1, "trial", 2), derive(1, "trial", 3), derive(2, "trial", 2), derive("1", 2)}
    assert len(seeds) == 4
    assert derive(1) != derive("1")
    assert derive(True) != derive(1)
    assert derive("ab", "c") != derive("a", "bc")


def test_seeds_fit_31_bits_and_spread() -> None:
    seeds = [derive(0, "x", k) for k in range(2000)]
    assert len(set(seeds)) == 2000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert abs(sum(seed > 2**30 for seed in seeds) - 1000) < 150
