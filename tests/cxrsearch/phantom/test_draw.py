from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.phantom.anatomy import Scene, draw_anatomy
from cxrsearch.phantom.canvas import FIELD_MM, Canvas, Pose
from cxrsearch.phantom.draw import draw
from cxrsearch.phantom.film import Layers
from cxrsearch.phantom.shapes import SHAPES
from cxrsearch.phantom.signs import OVERLAYS

PATIENTS = range(1, 9)
SIZE = 128


def picture(*names: str, patient: int = 1, size: int = SIZE, **more: float) -> np.ndarray:
    has = np.array([disease in names for disease in DISEASES])
    return draw(has, size, patient=patient, **{"difficulty": 0.2, **more})  # type: ignore[arg-type]


def test_a_picture_depends_on_its_seeds_alone() -> None:
    assert (picture("Mass") == picture("Mass")).all()
    for change in ({"seed": 1}, {"patient": 2}, {"image": 1}, {"difficulty": 0.7}):
        assert (picture("Mass") != picture("Mass", **change)).mean() > 0.3


@pytest.mark.parametrize("size", [32, 33, 96, 300])
def test_any_size_is_drawn(size: int) -> None:
    drawn = picture("Effusion", size=size)
    assert drawn.shape == (size, size)
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize("patient", [1, 2, 3])
@pytest.mark.parametrize("small", [48, 96])
def test_a_large_picture_scaled_down_is_the_small_one(patient: int, small: int) -> None:
    large = picture("Fibrosis", "Nodule", "Pneumonia", patient=patient, size=384).astype(float)
    shrunk = large.reshape(small, 384 // small, small, 384 // small).mean((1, 3))
    direct = picture("Fibrosis", "Nodule", "Pneumonia", patient=patient, size=small).astype(float)
    assert np.abs(shrunk - direct).mean() < 4
    assert np.corrcoef(shrunk.ravel(), direct.ravel())[0, 1] > 0.995


def test_a_patients_images_are_alike() -> None:
    def away(a: np.ndarray, b: np.ndarray) -> float:
        return float(1 - np.corrcoef(a.ravel(), b.ravel())[0, 1])

    same = np.mean([away(picture(patient=p), picture(patient=p, image=1)) for p in PATIENTS])
    other = np.mean([away(picture(patient=p), picture(patient=p + 1)) for p in PATIENTS])
    assert same < 0.75 * other


def test_every_disease_has_a_sign() -> None:
    assert set(SHAPES) | set(OVERLAYS) == set(DISEASES)


@pytest.mark.parametrize("name", DISEASES)
def test_each_sign_changes_the_picture_and_fades_with_difficulty(name: str) -> None:
    def change(difficulty: float) -> float:
        total = 0.0
        for patient in PATIENTS:
            with_sign = picture(name, patient=patient, size=64, difficulty=difficulty)
            without = picture(patient=patient, size=64, difficulty=difficulty)
            total += float(np.abs(with_sign.astype(float) - without).mean())
        return total / len(PATIENTS)

    assert change(0.0) > 0.4
    assert change(1.0) < 0.8 * change(0.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_cardiomegaly_heart_is_wider(seed: int) -> None:
    normal = draw_anatomy(np.random.default_rng(seed), female=False)
    large = SHAPES["Cardiomegaly"](normal, np.random.default_rng(seed), 1.0)

    def ratio(anatomy: object) -> float:
        scene = Scene(Canvas(256, Pose()), anatomy)  # type: ignore[arg-type]
        heart = np.ptp(np.nonzero((scene.heart > 0.5).any(0))[0])
        chest = np.ptp(np.nonzero((scene.lungs[0].hull + scene.lungs[1].hull > 0.5).any(0))[0])
        return float(heart / chest)

    assert ratio(normal) < 0.55
    assert ratio(large) > ratio(normal) + 0.05


def chest(seed: int) -> tuple[Scene, Layers]:
    anatomy = draw_anatomy(np.random.default_rng(seed), female=False)
    scene = Scene(Canvas(256, Pose()), anatomy)
    return scene, Layers.empty(scene.canvas)


def test_emphysema_lungs_are_larger_with_flatter_domes() -> None:
    normal = draw_anatomy(np.random.default_rng(0), female=False)
    blown = SHAPES["Emphysema"](normal, np.random.default_rng(0), 1.0)
    assert blown.right.half > normal.right.half
    assert blown.right.dome < 0.6 * normal.right.dome


def test_atelectasis_makes_one_lung_small_and_draws_the_heart_to_it() -> None:
    normal = draw_anatomy(np.random.default_rng(0), female=False)
    for seed in range(6):
        small = SHAPES["Atelectasis"](normal, np.random.default_rng(seed), 1.0)
        right, left = (view.mask.sum() for view in Scene(Canvas(96, Pose()), small).lungs)
        was_right, was_left = (view.mask.sum() for view in Scene(Canvas(96, Pose()), normal).lungs)
        assert (right < 0.93 * was_right) != (left < 0.93 * was_left)
        assert (small.shift < normal.shift) == (right < 0.93 * was_right)


@pytest.mark.parametrize("seed", range(5))
def test_effusion_fills_the_base_up_to_a_level(seed: int) -> None:
    scene, layers = chest(seed)
    OVERLAYS["Effusion"](scene, layers, np.random.default_rng(seed), 1.0)
    full = [view for view in scene.lungs if layers.clear[view.mask > 0.9].mean() < 0.99]
    assert full
    for view in full:
        angle = (view.mask > 0.9) & (scene.canvas.y > view.lung.base - 12)
        upper = (view.mask > 0.9) & (scene.canvas.y < 0)
        assert layers.clear[angle].mean() < 0.2
        assert layers.clear[upper].min() > 0.99


@pytest.mark.parametrize("seed", range(5))
def test_pneumothorax_is_black_without_markings_at_the_wall(seed: int) -> None:
    scene, layers = chest(seed)
    OVERLAYS["Pneumothorax"](scene, layers, np.random.default_rng(seed), 1.0)
    free = layers.markings < 0.05
    assert 0.01 < free.mean() < 0.2
    assert (layers.air[free] > 1.2).all()
    assert (layers.clear[free] > 0.9).all()
    walls = [np.abs(view.to_wall[free & (view.mask > 0.5)]) for view in scene.lungs]
    assert np.median(np.concatenate(walls)) < 35


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("name", "low", "high"), [("Mass", 30, 60), ("Nodule", 12, 30)])
def test_masses_are_over_30_mm_and_nodules_under(
    name: str, low: float, high: float, seed: int
) -> None:
    from scipy.ndimage import find_objects, label

    scene, layers = chest(seed)
    OVERLAYS[name](scene, layers, np.random.default_rng(seed), 1.0)
    boxes = find_objects(label(layers.extra > 0.01)[0])
    assert boxes
    pixel = FIELD_MM / scene.canvas.size
    for box in boxes if len(boxes) == 1 else []:
        across = min(part.stop - part.start for part in box) * pixel
        assert low - 2 * pixel < across < (high + 2 * pixel)


def test_infiltration_has_no_contour_and_consolidation_has() -> None:
    def steepest(name: str) -> float:
        steps = []
        for seed in range(8):
            scene, layers = chest(seed)
            OVERLAYS[name](scene, layers, np.random.default_rng(seed), 1.0)
            inner = np.minimum(scene.lungs[0].to_wall, scene.lungs[1].to_wall) > 8
            inside = scene.lungs[0].mask + scene.lungs[1].mask > 0.99
            step = np.abs(np.diff(layers.clear, axis=0))[(inner & inside)[1:]]
            steps.append(step.max() / max(1e-6, 1 - layers.clear[inside].min()))
        return float(np.mean(steps))

    assert steepest("Consolidation") > 5 * steepest("Infiltration")


def test_edema_hazes_both_lungs() -> None:
    scene, layers = chest(1)
    OVERLAYS["Edema"](scene, layers, np.random.default_rng(1), 1.0)
    for view in scene.lungs:
        assert layers.clear[view.mask > 0.9].mean() < 0.85


def test_pleural_thickening_lies_along_the_wall() -> None:
    scene, layers = chest(1)
    OVERLAYS["Pleural_Thickening"](scene, layers, np.random.default_rng(1), 1.0)
    thick = layers.clear < 0.5
    assert thick.any()
    near = (scene.lungs[0].to_wall < 25) | (scene.lungs[1].to_wall < 25)
    assert (near | (scene.canvas.y < scene.anatomy.right.apex + 55))[thick].all()


def test_a_hernia_holds_air_over_a_level_near_the_midline() -> None:
    scene, layers = chest(2)
    OVERLAYS["Hernia"](scene, layers, np.random.default_rng(2), 1.0)
    air = layers.extra < -0.1
    assert air.any()
    assert np.abs(scene.canvas.x[air]).max() < 90
    columns = np.nonzero(air.any(0))[0]
    lowest = [np.nonzero(air[:, column])[0].max() for column in columns[5:-5]]
    assert np.ptp(lowest) <= 1
