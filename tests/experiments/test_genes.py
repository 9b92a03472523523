"""The paired table of genes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxrsearch import Settings, search
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.study.label_genes import read_space
from cxrsearch.study.space import space_path
from experiments import genes


@pytest.mark.parametrize("name", genes.ARMS)
def test_every_arm_is_a_recipe_within_the_limits_of_its_genes(name: str) -> None:
    recipe = Recipe.from_params({**genes.BASELINE, **genes.ARMS[name]})
    limits = gene_limits()
    for gene, value in genes.ARMS[name].items():
        assert getattr(recipe, gene) == value != genes.BASELINE.get(gene, limits[gene]["default"])
        assert value in limits[gene].get("choices", (value,))


@pytest.mark.parametrize("space", ["cpu", "finetune", "gpu"])
def test_points_of_a_space_differ_from_its_first_by_their_arms(space: str) -> None:
    first, arms = genes.points_of(space, {"batch_size": 16})
    plain = read_space(space_path(space))
    assert len(arms) == len(plain.points) - 1
    for point in plain.points[1:]:
        recipe = Recipe.from_params({**first, **arms[point.name]})
        assert recipe == Recipe.from_params({**plain.fixed, **point.params, "batch_size": 16})
        assert arms[point.name], "two points are the same"


def test_an_arm_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(genes, "load_alone", lambda *_, **__: None)
    monkeypatch.setattr(genes, "trial_config", lambda *_: None)
    out = str(tmp_path / "g.jsonl")
    monkeypatch.setattr("sys.argv", ["genes", "--study", "s", "--out", out, "--arms", "nonsense"])
    with pytest.raises(SystemExit, match="no such arm: nonsense; known: head_bias zero"):
        genes.main()


@pytest.mark.usefixtures("small_network")
def test_arms_are_trained_on_the_baselines_splits_and_never_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    small = ["model=densenet121", "input_size=32", "epochs=1"]
    search(
        Settings(
            data="phantom", phantom_images=60, trials=1, runner="serial", device="cpu",
            genes=small, cache=str(tmp_path / "cache"),
        ),
        study,
    )  # fmt: skip
    words = [
        "genes", "--study", str(study), "--out", str(tmp_path / "genes.jsonl"), "--rounds", "2",
        "--arms", "cutmix", "distill 0.5", "--teachers", "1", "--threads", "1",
    ]  # fmt: skip
    for gene in small:
        words += ["--set", gene]
    monkeypatch.setattr("sys.argv", words)
    genes.main()
    lines = genes.read_lines(tmp_path / "genes.jsonl")
    assert [(line["arm"], line["round"]) for line in lines] == [
        (arm, round) for round in (1, 2) for arm in ("baseline", "cutmix", "distill 0.5")
    ]  # fmt: skip
    assert all(0 < line["value"] < 1 and line["seconds"] > 0 for line in lines)
    assert lines[0]["value"] != lines[3]["value"]
    capsys.readouterr()
    genes.main()
    assert len(genes.read_lines(tmp_path / "genes.jsonl")) == 6
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]


@pytest.mark.usefixtures("small_network")
def test_a_teacher_says_something_of_every_training_image_and_no_other(
    tmp_path: Path,
) -> None:
    study = tmp_path / "study"
    search(
        Settings(
            data="phantom", phantom_images=60, trials=1, runner="serial", device="cpu",
            genes=["model=densenet121", "input_size=32", "epochs=1"], cache=str(tmp_path / "cache"),
        ),
        study,
    )  # fmt: skip
    config = genes.trial_config(study, genes.load_alone(study, cpus_per_trial=1))
    data = genes.load_trial_data(config, 1)
    params = {"model": "densenet121", "input_size": 32, "epochs": 2}
    one, two = (genes.taught(params, data, 1, n, config.compute).pseudo for n in (1, 2))
    assert one is not None
    assert two is not None
    assert one.taught.tolist() == data.names[data.train].tolist()
    assert one.taught_scores.shape == (len(data.train), len(data.label_names))
    assert ((one.taught_scores > 0) & (one.taught_scores < 1)).all()
    assert (one.taught_scores != two.taught_scores).any(), "two teachers are averaged"


def made(arm: str, round: int, value: float, **other: Any) -> dict[str, Any]:
    return {"arm": arm, "round": round, "value": value, "seconds": 2.0, "baseline": {}, **other}


def test_the_report_gives_paired_differences_and_their_interval() -> None:
    lines = [made("baseline", r, 0.6 + 0.1 * r) for r in (1, 2, 3)]
    lines += [made("mixup", r, 0.6 + 0.1 * r + gain) for r, gain in ((1, 0.01), (2, 0.03))]
    plain, mixup = genes.report(json.loads(json.dumps(lines)))
    assert plain == "baseline: 0.8000 over 3 rounds"
    # Student's t of one degree of freedom: 12.7062 times the standard error of 0.01.
    assert "+0.0200 (-0.1071 to +0.1471), 2 rounds, 1.00 of the time" in mixup


def test_a_file_of_two_baselines_is_refused() -> None:
    with pytest.raises(SystemExit, match="several baselines"):
        genes.report([made("baseline", 1, 0.5), made("baseline", 2, 0.5, baseline={"lr": 1})])
