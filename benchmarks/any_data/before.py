"""NIH's 14 labels give what another tree gave, and what it made still opens.

The other tree is a checkout of an earlier commit. Both search, train, evaluate, predict and put an
ensemble together on the same drawn files with the same seed; then this tree opens the other's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .running import ROOT, Ran, cxrsearch

SPACE = """\
name: before
genes:
  lr: {low: 1.0e-4, high: 1.0e-2, log: true}
  train_seed: {low: 0.5, high: 1.0, step: 0.1}
  balance: {low: 0.0, high: 1.0}
  ratio_No_Finding: {low: 0.5, high: 2.0, log: true}
  ratio_Hernia: {low: 0.5, high: 2.0, log: true}
  loss: {choices: [bce, focal]}
  rotation: {low: 0.0, high: 10.0}
fixed: {model: densenet121, epochs: 2, input_size: 32, batch_size: 32}
"""


@dataclass
class Report:
    """What agreed and what did not.

    Args:
        lines: a line a comparison.
        differing: how many did not agree.
    """

    lines: list[str] = field(default_factory=list)
    differing: int = 0

    def add(self, what: str, same: bool, seen: str = "") -> None:
        """One comparison."""
        self.lines.append(f"{what:58}{'same' if same else 'DIFFERS':9}{seen}")
        self.differing += not same


class FailedError(Exception):
    """A command that ought to run did not."""


def _run(*words: object, tree: Path = ROOT) -> Ran:
    done = cxrsearch(*words, tree=tree)
    if done.code:
        raise FailedError(f"cxrsearch {' '.join(done.words)} in {tree}: {done.code}\n{done.said}")
    return done


def make(tree: Path, data: Path, home: Path, trials: int) -> None:
    """A study, its model, an ensemble, predictions and evaluations, by the commands of ``tree``."""
    home.mkdir(parents=True)
    space = home / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")
    study, model, team = home / "study", home / "model", home / "team"
    common = ("--runner", "serial", "--cpus-per-trial", "1", "--device", "cpu", "--seed", "3")
    _run(
        "ga", "--data", data, "--trials", trials, "--space", space, "--study", study,
        "--cache", home / "cache", *common, tree=tree,
    )  # fmt: skip
    # Which trial is trained by default has changed: the expected best, not the one seen best.
    best = json.loads(_run("status", study, "--json", tree=tree).out)["best"]["number"]
    _run(
        "train", study, "--trial", best, "--out", model, "--cache", home / "cache", tree=tree
    )  # fmt: skip
    _run("ensemble", study, "--out", team, tree=tree)
    for name, folder in (("model", model), ("team", team)):
        shown = _run("evaluate", folder, "--json", tree=tree).out
        (home / f"{name}.json").write_text(shown, encoding="utf-8")
        _run("predict", folder, data, "--out", home / f"{name}.csv", tree=tree)


def compare(old: Path, new: Path, report: Report) -> None:
    """Hold what two trees made against each other, to the last bit."""
    trials = sorted(p.name for p in (old / "study" / "trials").iterdir())
    report.add("trials", trials == sorted(p.name for p in (new / "study" / "trials").iterdir()))
    values = [_history(home / "study") for home in (old, new)]
    report.add("parameters and values of all trials", values[0] == values[1], _values(values[0]))
    splits = [_json(home / "study" / "splits.json") for home in (old, new)]
    report.add("parts, their order and fingerprint", _shared(*splits), f"{len(splits[0])} keys")
    for file in ("labels.npz", *(f"trials/{n}/val.npz" for n in trials)):
        report.add(file, _arrays(old / "study" / file, new / "study" / file))
    for number in trials:
        file = f"trials/{number}/best.safetensors"
        report.add(*_weights(file, old / "study" / file, new / "study" / file))
    file = "model.safetensors"
    report.add(*_weights("the model's weights", old / "model" / file, new / "model" / file))
    for name in ("model", "team"):
        seen = [_json(home / f"{name}.json") for home in (old, new)]
        means = [{k: s.get(k) for k in ("mean", "interval", "auroc")} for s in seen]
        report.add(f"evaluate {name}", means[0] == means[1], f"mean {means[0]['mean']:.6f}")
        report.add(
            f"predict {name}",
            (old / f"{name}.csv").read_bytes() == (new / f"{name}.csv").read_bytes(),
        )


def opened(old: Path, data: Path, home: Path, report: Report) -> None:
    """What the other tree made, in a copy, by the commands of this one."""
    shutil.copytree(old / "study", home / "study")
    study = home / "study"
    status = json.loads(_run("status", study, "--json").out)
    values = _history(study)
    best = max(v for _, v in values.values() if v is not None)
    report.add("status: the best of the study", status["best"]["value"] == best, f"{best:.6f}")
    _run("dashboard", study, "--out", home / "page.html")
    report.add("dashboard", "Hernia" in (home / "page.html").read_text(encoding="utf-8"))
    shutil.copytree(old / "model", home / "model")
    shutil.copytree(old / "team", home / "team")
    for name in ("model", "team"):
        was = _json(old / f"{name}.json")
        now = json.loads(_run("evaluate", home / name, "--json").out)
        report.add(f"evaluate its {name}", now["mean"] == was["mean"], f"mean {now['mean']:.6f}")
        _run("predict", home / name, data, "--out", home / f"{name}.csv")
        report.add(
            f"predict by its {name}",
            (home / f"{name}.csv").read_bytes() == (old / f"{name}.csv").read_bytes(),
        )
    _run("extend", study, "--trials", 1, "--cache", old / "cache")
    after = _history(study)
    kept = {number: after.get(number) for number in values}
    report.add("extend by a trial keeps the others", kept == values, f"{len(after)} trials")
    _run("train", study, "--out", home / "again", "--trial", 0, "--cache", old / "cache")
    report.add("train from it", (home / "again" / "model.safetensors").is_file())


def run(tree: Path, folder: Path, images: int, trials: int) -> Report:
    """All of it, below ``folder``."""
    report, data = Report(), folder / "drawn"
    _run("phantom", data, "--images", images, "--unlabelled-images", 0, "--side", 64, tree=tree)
    for name, where in (("old", tree), ("new", ROOT)):
        make(where, data, folder / name, trials)
    compare(folder / "old", folder / "new", report)
    opened(folder / "old", data, folder, report)
    return report


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _shared(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether all that the older file says stands in the newer too."""
    apart = ("digest",)  # of the file, to which keys were added
    return all(new.get(key) == value for key, value in old.items() if key not in apart)


def _history(study: Path) -> dict[int, tuple[dict[str, Any], float | None]]:
    """Number -> parameters and value, by Optuna alone."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = f"sqlite:///{study / 'history.db'}"
    name = optuna.get_all_study_names(storage)[0]
    return {t.number: (t.params, t.value) for t in optuna.load_study(
        study_name=name, storage=storage).trials}  # fmt: skip


def _values(history: dict[int, tuple[dict[str, Any], float | None]]) -> str:
    return " ".join(f"{value:.6f}" for _, value in history.values() if value is not None)


def _arrays(old: Path, new: Path) -> bool:
    """Whether two files hold the same arrays, of those that the older has."""
    with np.load(old) as was, np.load(new) as now:
        return all(
            key in now and was[key].dtype == now[key].dtype and np.array_equal(was[key], now[key])
            for key in was
        )


def _weights(what: str, old: Path, new: Path) -> tuple[str, bool, str]:
    """The digests of two files' tensors."""
    from safetensors.numpy import load_file

    digests = []
    for path in (old, new):
        digest = hashlib.sha256()
        for name, tensor in sorted(load_file(path).items()):
            digest.update(name.encode() + tensor.tobytes())
        digests.append(digest.hexdigest()[:16])
    return what, digests[0] == digests[1], digests[0]
