"""A training loop as a textbook has it, to hold the fast one against.

Plain eager float32: torchvision's own network, each image augmented by itself (by SciPy, in
float64), one forward and backward pass a batch, the optimiser of ``torch.optim`` with its default
implementation, no micro-batches, no autocast, no graph. What it shares with the fast loop is what
both are defined by: the initial weights, the images that an epoch draws, the augmentation's
parameters, the schedule of the learning rate, the loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import affine_transform
from torch import nn

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.augment.draws import Parameters, sample_parameters
from cxrsearch.learn.augment.frames import prepare
from cxrsearch.learn.augment.geometry import affine_matrices
from cxrsearch.learn.criterion import build_loss
from cxrsearch.learn.data import TrainData, even_slices
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.networks.stem import GreyStem
from cxrsearch.learn.networks.torchvision_import import models as vision_models
from cxrsearch.learn.optim import lr_factor
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.seeding import SeedProportional
from search.seeds import derive


@dataclass(frozen=True)
class Curves:
    """One training.

    Args:
        losses: mean training loss of each epoch.
        aurocs: mean validation AUROC of each epoch.
    """

    losses: list[float]
    aurocs: list[float]


def train(
    recipe: Recipe, data: TrainData, seed: int, device: torch.device, same_draws: bool = True
) -> Curves:
    """Train ``recipe`` for all its epochs.

    Args:
        recipe: without ``freeze`` and with dropout 0, which draws from another stream.
        data: images, labels, parts.
        seed: of the weights, the draws and the augmentation, derived as `Learner` does.
        device: where the network is; images are made on the CPU.
        same_draws: whether the augmentation's parameters are the fast loop's own; otherwise they
            come from another stream of the same distribution.
    """
    labels = data.labels[data.train]
    sampler = SeedProportional(labels, DISEASES, recipe, derive(seed, "draw"))
    net = network(recipe, seed).to(device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    loss_of = build_loss(recipe, labels.mean(axis=0))
    optimizer = optimizer_of(net, recipe)
    pixels = prepare(data.images, data.train, recipe.crop, recipe.input_size)
    val = prepare(data.images, data.val_seed, recipe.crop, recipe.input_size).float() / 255
    targets = torch.from_numpy(labels.astype(np.float32))
    smallest = 2 if recipe.model == "densenet121" else 1
    pieces = even_slices(sampler.images_per_epoch, recipe.batch_size, smallest)
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    losses, aurocs, step = [], [], 0
    for epoch in range(1, recipe.epochs + 1):
        order = sampler.draw(epoch)
        generator = _generator(seed, epoch, device if same_draws else None)
        total = 0.0
        net.train()
        for piece in pieces:
            index = torch.from_numpy(order[piece])
            images = augment(pixels[index], recipe, generator).to(device)
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr * lr_factor(recipe, step, recipe.epochs * len(pieces))
            optimizer.zero_grad()
            loss = loss_of(net(images), targets[index].to(device))
            loss.backward()
            optimizer.step()
            step += 1
            if recipe.ema:
                _average(average, net, recipe.ema, step)
            total += loss.item() * len(index)
        losses.append(total / len(order))
        scores = _scores(net, average if recipe.ema else None, val, device)
        aurocs.append(mean_auroc(auroc(data.labels[data.val_seed], scores)))
    return Curves(losses, aurocs)


def network(recipe: Recipe, seed: int) -> nn.Module:
    """torchvision's network, one channel in and 14 logits out, from the fast loop's first weights.

    Only the first convolution is the project's: it stands for grey copied to three channels.
    """
    torch.manual_seed(derive(seed, "weights"))
    state = build_model(recipe, n_classes=14).net.state_dict()
    net: Any
    if recipe.model == "densenet121":
        net = vision_models.densenet121(weights=None)
        net.features.conv0 = GreyStem(net.features.conv0)
        net.classifier = nn.Linear(net.classifier.in_features, 14)
    else:
        net = vision_models.vgg16(weights=None)
        net.features[0] = GreyStem(net.features[0])
        net.avgpool, net.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 14)
    net.load_state_dict({k: v.contiguous() for k, v in state.items()})
    found: nn.Module = net.to(memory_format=torch.contiguous_format)
    return found


def optimizer_of(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser, parameter by parameter."""
    trained = list(net.parameters())
    slow: dict[str, Any] = {"lr": recipe.lr, "foreach": False, "fused": False}
    if recipe.optimizer == "adam":
        return torch.optim.Adam(trained, weight_decay=recipe.weight_decay, **slow)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, **slow)
    momentum = recipe.momentum
    return torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, **slow)


def _generator(seed: int, epoch: int, device: torch.device | None) -> torch.Generator:
    """The fast loop's own stream on ``device``, or another one."""
    name = "augment" if device is not None else "other"
    return torch.Generator(device or "cpu").manual_seed(derive(seed, name, epoch))


def augment(pixels: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """(b, H, W) uint8 -> (b, 1, H, W) float32 in [0, 1], one image after another."""
    drawn = sample_parameters(recipe, len(pixels), generator)
    drawn = Parameters(*(getattr(drawn, name).cpu() for name in Parameters.__dataclass_fields__))
    height, width = pixels.shape[1:]
    matrices = affine_matrices(drawn, height, width).double().numpy()
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    out = []
    for i, image in enumerate(pixels.double().numpy() / 255):
        linear, shift = matrices[i, :, :2], matrices[i, :, 2]
        offset = middle + shift - linear @ middle
        image = affine_transform(image, linear, offset, order=1, mode="nearest")
        image = image[:, ::-1] if drawn.flip_columns[i] else image
        image = image[::-1] if drawn.flip_rows[i] else image
        if recipe.brightness or recipe.contrast:
            image = image * float(drawn.brightness[i])
            mean = image.mean()
            image = np.clip(mean + (image - mean) * float(drawn.contrast[i]), 0, 1)
        out.append(image)
    return torch.from_numpy(np.stack(out)).float()[:, None]


@torch.no_grad()
def _average(average: dict[str, torch.Tensor], net: nn.Module, decay: float, step: int) -> None:
    """One update of the averaged weights after ``step`` steps; statistics are copied."""
    decay = min(decay, step / (9 + step))
    averaged = {name for name, _ in net.named_parameters()}
    for name, value in net.state_dict().items():
        if name in averaged:
            average[name] = decay * average[name] + (1 - decay) * value
        else:
            average[name] = value.clone()


@torch.no_grad()
def _scores(
    net: nn.Module,
    average: dict[str, torch.Tensor] | None,
    val: torch.Tensor,
    device: torch.device,
) -> np.ndarray:
    """(m, 14) probabilities."""
    state = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(average or state)
    net.eval()
    found = [torch.sigmoid(net(part[:, None].to(device))).cpu() for part in val.split(32)]
    net.load_state_dict(state)
    return torch.cat(found).numpy()


def undropped(recipe: Recipe) -> Recipe:
    """``recipe`` as both loops can train it alike."""
    return replace(recipe, dropout=0.0, freeze=0, init="none", vgg_head="pooled")
