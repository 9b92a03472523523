from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import METHODS, Ensemble, fit, logits_of, read_predictions
from cxrsearch.learn.ensemble.greedy import _select
from cxrsearch.learn.ensemble.quick import quick_auroc
from cxrsearch.learn.ensemble.scale import Scale
from cxrsearch.learn.ensemble.stacking import logistic, stack
from cxrsearch.learn.metrics import auroc


def mean(made, ensemble) -> float:
    return float(auroc(made.labels, ensemble.apply(made.scores)).mean())


@pytest.mark.parametrize("method", [m for m in METHODS if m != "single"])
def test_every_method_beats_the_best_single_member_on_unseen_images(method, made, unseen) -> None:
    single = fit(*made, "single")
    assert single.weights.max() == 1
    assert single.used[0] < 3
    assert mean(unseen, fit(*made, method)) > mean(unseen, single) + 0.02


@pytest.fixture(autouse=True)
def _few_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxrsearch.learn.ensemble.genetic.WEIGHT_GENERATIONS", 8)


@pytest.mark.parametrize(
    ("method", "averaging"),
    [("single", "rank"), ("logistic", "rank"), ("stacking", "rank"), ("genetic", "rank"),
     ("greedy", "logit"), ("greedy-each", "probability"), ("uniform", "rank")],
)  # fmt: skip
def test_an_image_s_score_does_not_depend_on_the_others(method, averaging, made) -> None:
    ensemble = fit(*made, method, averaging=averaging)
    scores = ensemble.apply(made.scores)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.allclose(ensemble.apply(made.scores[:, 7:9]), scores[7:9], atol=1e-6)


@pytest.mark.parametrize("method", ["greedy", "stacking"])
def test_the_same_seed_gives_the_same_weights(method, made) -> None:
    assert np.array_equal(fit(*made, method, seed=3).weights, fit(*made, method, seed=3).weights)


@pytest.mark.parametrize("method", ["greedy", "greedy-each", "genetic", "uniform"])
def test_averages_have_weights_that_sum_to_one(method, made) -> None:
    weights = fit(*made, method).weights
    assert np.allclose(weights.sum(axis=0), 1)
    assert (weights >= 0).all()


@pytest.mark.parametrize("method", ["greedy", "genetic", "stacking"])
def test_a_much_worse_member_gets_little_weight(method, made) -> None:
    shares = fit(*made, method).shares()
    assert shares[3] < 0.5 * shares[:3].min()


def test_stacking_learns_a_disease_from_another(made, unseen) -> None:
    by_disease = auroc(unseen.labels, fit(*made).apply(unseen.scores))
    blind = auroc(unseen.labels, fit(*made, "logistic").apply(unseen.scores))
    assert blind[1] < 0.6
    assert by_disease[1] > 0.75


def test_greedy_selection_takes_a_member_that_corrects_another() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 14)) < 0.5).astype(np.uint8)
    shared = rng.normal(0, 3, (400, 14))
    scores = np.stack([labels + shared, labels - shared, labels + rng.normal(0, 2.5, (400, 14))])
    x = np.ascontiguousarray(scores.transpose(2, 0, 1)).astype(np.float32)
    weights = _select(x, labels.astype(bool))
    assert weights[0] == pytest.approx(weights[1], abs=0.2)
    assert weights[:2].sum() > 0.6


def test_a_disease_of_one_class_gets_equal_weights_and_disturbs_nothing(made) -> None:
    labels = made.labels.copy()
    labels[:, 5] = 0
    for method in METHODS:
        ensemble = fit(made.scores, labels, made.patients, method)
        assert np.isfinite(ensemble.apply(made.scores)).all()
    assert np.allclose(fit(made.scores, labels, made.patients).weights[:, 5], 0.25)


def test_auto_takes_what_does_best_on_held_out_patients(made) -> None:
    few = made.scores[:, :200], made.labels[:200], made.patients[:200]
    assert fit(*few, "auto").method == "stacking"  # disease 1 needs the others
    rng = np.random.default_rng(0)
    alike = rng.normal(size=(3, 60, 14)).astype(np.float32)
    labels = (rng.random((60, 14)) < 0.3).astype(np.uint8)
    alike += 2 * labels
    assert fit(alike, labels, np.arange(60), "auto").method in ("uniform", "greedy", "stacking")


@pytest.mark.parametrize("people", [3, 60])
def test_auto_fits_nothing_where_nobody_can_be_held_out(people: int) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 60, 14)).astype(np.float32)
    patients = np.arange(60) % people
    labels = np.zeros((60, 14), np.uint8)
    labels[patients == 0, 4] = 1  # one patient is ill
    found = fit(scores, labels, patients, "auto")
    assert found.method == "uniform"
    assert np.isfinite(found.apply(scores)).all()


def test_only_the_best_few_take_part_where_asked(made) -> None:
    ensemble = fit(*made, "stacking", most=2)
    assert len(ensemble.used) == 2
    assert 3 not in ensemble.used
    small = ensemble.of_used()
    assert np.allclose(
        small.apply(made.scores[list(ensemble.used)]), ensemble.apply(made.scores), atol=1e-6
    )


@pytest.mark.parametrize("averaging", ["probability", "rank"])
@pytest.mark.parametrize("method", ["greedy", "stacking"])
def test_an_ensemble_survives_json(method, averaging, made, tmp_path) -> None:
    ensemble = fit(*made, method, members=list("abcd"), averaging=averaging)
    ensemble.save(tmp_path / "weights.json")
    again = Ensemble.load(tmp_path / "weights.json")
    assert again.members == tuple("abcd")
    assert np.array_equal(again.apply(made.scores), ensemble.apply(made.scores))


def test_a_damaged_file_is_named(made, tmp_path) -> None:
    path = tmp_path / "weights.json"
    with pytest.raises(InputError, match="no such file"):
        Ensemble.load(path)
    good = fit(*made, members=list("abcd")).to_dict()
    wrong = {
        "damaged": good | {"weights": good["weights"][:2]},
        "version": good | {"version": 99},
        "not written": {"weights": []},
        "NaN is not a number": good | {"bias": [float("nan")] * 14},
        "out of range": good | {"bias": [1e300] * 14},
        "weights: numbers out": good | {"weights": [["1"] * 14] * len(good["members"])},
        "unknown": good | {"scale": "cubic"},
    }
    for word, value in wrong.items():
        path.write_text(json.dumps(value))
        with pytest.raises(InputError, match=word):
            Ensemble.load(path)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        Ensemble.load(path)


def test_what_does_not_fit_is_said(made) -> None:
    scores, labels, patients = made
    for wrong, word in (
        ((scores[0], labels, patients), "must be"),
        ((scores, labels[:, :13], patients), "must be"),
        ((scores, labels, patients[:5]), "patients"),
        ((scores, labels + 1, patients), "from 0 to 1"),
        ((scores * np.inf, labels, patients), "finite"),
        ((scores, labels * 0, patients), "no label"),
    ):
        with pytest.raises(ValueError, match=word):
            fit(*wrong)
    with pytest.raises(ValueError, match="method"):
        fit(*made, "best")
    with pytest.raises(ValueError, match="averaging"):
        fit(*made, averaging="mean")
    with pytest.raises(ValueError, match="names"):
        fit(*made, members=["a"])
    with pytest.raises(ValueError, match="must be"):
        fit(*made).apply(scores[:2])


def test_logistic_regression_is_scikit_learn_s(made) -> None:
    x, y = made.scores[:, :, 0].T.astype(float), made.labels[:, 0].astype(bool)
    design = np.column_stack([x, np.ones(len(x))])
    for precision in (0.5, 50.0):
        peer = LogisticRegression(C=1 / precision, tol=1e-8, max_iter=500).fit(x, y)
        found = logistic(design, y, precision, np.zeros(5))
        assert np.allclose(found[:4], peer.coef_[0], atol=1e-4)
        assert np.allclose(found[4], peer.intercept_[0], atol=1e-4)


def test_separable_classes_do_not_run_away() -> None:
    x = np.linspace(-1, 1, 40)
    found = logistic(np.column_stack([x, np.ones(40)]), x > 0, 1e-3, np.zeros(2))
    assert np.isfinite(found).all()
    assert ((np.column_stack([x, np.ones(40)]) @ found > 0) == (x > 0)).all()


def test_counting_in_bins_is_close_to_the_exact_auroc() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(3000) < 0.02
    columns = rng.normal(size=(5, 3000)).astype(np.float32) + truth
    for values in (columns, 1e-3 / (1 + np.exp(-columns)), np.round(columns)):
        exact = auroc(np.repeat(truth[:, None], 5, axis=1), values.T)
        assert np.allclose(quick_auroc(values, truth), exact, atol=2e-4)


def test_ranks_keep_the_order_beyond_the_images_they_were_learnt_on() -> None:
    learnt = np.zeros((1, 100, 14)) + np.linspace(-1, 1, 100)[None, :, None]
    ranks = Scale.learn("rank", learnt)(
        np.zeros((1, 5, 14)) + np.array([-9, -2, 0, 3, 20])[None, :, None]
    )
    assert (np.diff(ranks[0, :, 0]) > 0).all()
    assert ((ranks > 0) & (ranks < 1)).all()


def test_logits_of_probabilities_are_finite_and_turn_back() -> None:
    p = np.array([0.0, 1e-6, 0.3, 0.5, 1.0])
    logits = logits_of(p)
    assert np.isfinite(logits).all()
    assert np.allclose(1 / (1 + np.exp(-logits)), p, atol=1e-6)


def test_a_file_of_predictions_is_read_and_checked(made, tmp_path) -> None:
    path = tmp_path / "half.npz"
    models = {f"model{i}": s.astype(np.float16) for i, s in enumerate(made.scores)}
    np.savez(path, labels=made.labels, patient=made.patients, **models)
    half = read_predictions(path)
    assert half.names == tuple(models)
    assert half.scores.shape == made.scores.shape
    np.savez(
        path, labels=made.labels, patient=made.patients[:3], a=made.scores[0][:, :3],
        b=np.full_like(made.scores[0], np.nan),
    )  # fmt: skip
    with pytest.raises(InputError) as wrong:
        read_predictions(path)
    assert len(wrong.value.problems) == 3
    np.savez(path, labels=made.labels, patient=np.array([{}] * 600, dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(path)
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "none.npz")


def hidden(labels: np.ndarray, share: float = 0.3) -> np.ndarray:
    """``labels`` of which a share is not known."""
    away = np.random.default_rng(7).random(labels.shape) < share
    return np.where(away, np.nan, labels).astype(np.float32)


def test_what_is_not_known_is_as_if_it_were_not_there(made) -> None:
    marks = hidden(made.labels)[:, 2]
    there = ~np.isnan(marks)
    x, truth = made.scores[:, :, 2], made.labels[:, 2]
    assert np.array_equal(quick_auroc(x, marks), quick_auroc(x[:, there], truth[there]))
    masked = stack(made.scores[:, :, 2:3], marks[:, None], (1.0,), cross=False)
    known = stack(made.scores[:, there, 2:3], truth[there, None] == 1, (1.0,), cross=False)
    assert np.allclose(masked.weights, known.weights)
    assert np.allclose(masked.bias, known.bias)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_every_method_takes_labels_that_are_known_in_part(method, made, unseen) -> None:
    marks = hidden(made.labels)
    found = fit(made.scores, marks, made.patients, method)
    assert mean(unseen, found) > mean(unseen, fit(*made, method)) - 0.02
    assert np.array_equal(
        found.weights, fit(made.scores, np.where(marks == 1, 0.8, marks), made.patients, method)
        .weights,
    )  # fmt: skip


@pytest.mark.parametrize("width", [1, 2, 20])
def test_any_number_of_labels_will_do(width: int, tmp_path) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((90, width)) < 0.4).astype(np.uint8)
    scores = (rng.normal(0, 2, (3, 90, width)) + labels).astype(np.float32)
    names = tuple(f"Nodule/Mass {i}" for i in range(width))
    for method in (*METHODS, "auto"):
        found = fit(scores, labels, np.arange(90), method, label_names=names)
        found.save(tmp_path / "weights.json")
        back = Ensemble.load(tmp_path / "weights.json")
        assert back.label_names == names
        assert np.array_equal(back.apply(scores), found.apply(scores))
    assert fit(scores, labels, np.arange(90)).label_names[0] == "label 1"
    with pytest.raises(ValueError, match=f"1 names for {width + 1}"):
        fit(*(np.repeat(a, 2, -1)[..., : width + 1] for a in (scores, labels)), np.arange(90),
            label_names=("one",))  # fmt: skip


def test_a_file_may_say_what_its_labels_are_and_that_some_are_not_known(made, tmp_path) -> None:
    path, marks = tmp_path / "some.npz", hidden(made.labels[:, :2])
    model = made.scores[0][:, :2]
    np.savez(path, labels=marks, patient=made.patients, label_names=["COVID-19", "Mass"], a=model)
    found = read_predictions(path)
    assert found.label_names == ("COVID-19", "Mass")
    assert np.array_equal(found.labels, marks, equal_nan=True)
    np.savez(path, labels=marks, patient=made.patients, a=model)
    assert read_predictions(path).label_names == ("label 1", "label 2")
    np.savez(path, labels=made.labels, patient=made.patients, a=made.scores[0])
    assert read_predictions(path).label_names == DISEASES
    for names in (["Mass"], ["Mass", "Mass"], ["Mass", " "], [1, 2]):
        np.savez(path, labels=marks, patient=made.patients, label_names=names, a=model)
        with pytest.raises(InputError, match="label_names"):
            read_predictions(path)


def test_weights_of_the_version_before_are_of_nih_s_diseases(made) -> None:
    now = fit(*made).to_dict()
    before = {**now, "version": 1, "diseases": now["labels"]}
    del before["labels"]
    found = Ensemble.from_dict(json.loads(json.dumps(before)))
    assert found.label_names == DISEASES
    assert np.array_equal(found.apply(made.scores), fit(*made).apply(made.scores))
    with pytest.raises(InputError, match="14 of NIH"):
        Ensemble.from_dict({**before, "diseases": ["Mass"] * 14})
    with pytest.raises(InputError, match="no names of labels"):
        Ensemble.from_dict({**now, "labels": ["Mass"] * 14})
    with pytest.raises(InputError, match="version 3"):
        Ensemble.from_dict({**now, "version": 3})
