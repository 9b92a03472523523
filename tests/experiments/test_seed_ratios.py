"""Whether ratios beat balance alone: the two spaces, the pairs, and going on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.recipe import gene_limits
from cxrsearch.study.label_genes import AtHand, settled
from experiments import seed_ratios
from experiments.seed_ratios import Judged, interval, main, show, space_of
from search.space import SearchSpace


def test_the_two_spaces_differ_in_the_ratios_alone() -> None:
    found = {}
    for arm in seed_ratios.ARMS:
        plain, problems = settled(space_of(arm, 32, 4), AtHand(DISEASES))
        assert not problems
        found[arm] = SearchSpace.from_dict(plain, arm, known=gene_limits(DISEASES))
    assert set(found["balance"].genes) == {"balance"}
    assert len(found["ratios"].genes) == 16
    assert found["balance"].fixed == found["ratios"].fixed
    assert found["balance"].fixed["epochs"] == 4
    for one, other in zip(found["balance"].points, found["ratios"].points, strict=True):
        assert one.params["balance"] == other.params["balance"]
        assert {v for gene, v in other.params.items() if gene != "balance"} == {1.0}


def test_the_interval_is_students() -> None:
    from scipy.stats import ttest_1samp

    values = [0.01, -0.02, 0.03, 0.015]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high))


def test_differences_are_paired_by_seed(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        seed: {
            "balance": Judged(0.60 + seed / 10, 0.7, [0.58 + seed / 10, 0.59], 8),
            "ratios": Judged(0.61 + seed / 10, 0.72, [0.58 + seed / 10, 0.59], 7),
        }
        for seed in range(3)
    }
    show(found)
    out = capsys.readouterr().out
    assert "ratios - balance: +0.010 (95% +0.010 to +0.010, 3 seeds)" in out
    assert "ratios - as the data is: +0.030" in out
    assert "validation, ratios - balance: +0.020" in out


def test_a_run_is_judged_on_the_test_part_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--out", str(tmp_path), "--images", "60", "--side", "32", "--epochs", "1",
             "--trials", "2", "--seeds", "1", "--cache", str(tmp_path / "cache")]  # fmt: skip
    main(words)
    first = capsys.readouterr().out.splitlines()[-7:]
    assert "one seed, no interval" in "\n".join(first)

    def refuse(*args: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(seed_ratios, "search", refuse)
    main(words)
    assert capsys.readouterr().out.splitlines()[-7:] == first
