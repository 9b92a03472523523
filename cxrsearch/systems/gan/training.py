"""The GAN's training: generator and discriminator, a step of each on every batch.

The loss compares each real image with a generated one (Jolicoeur-Martineau's relativistic
pairing), so the discriminator cannot win by scoring all images of a kind alike and no mode is
dropped for free; gradient penalties on real and on generated images (R1 and R2) make that game
converge (Huang et al., NeurIPS 2024, "The GAN is dead; long live the GAN!"). Half of the
generated images are of random numbers, the other half of the codes of the real ones that they
are paired with (Larsen et al., ICML 2016, with principal components in place of an encoder),
and are held to those at a small size. With f the discriminator, T `diff_augment`, m the means
over blocks and c the codes:

    discriminator   softplus(f(T(G(z))) - f(T(x))) + gamma / 2 (|grad f(T(x))|^2 + the same of T(G(z)))
    generator       softplus(f(T(x)) - f(T(G(z)))) + hold mean (m(G(c(x))) - m(x))^2

Penalties are computed on every `PENALTY_EVERY`-th step only, that many times as strong (Karras et al.,
CVPR 2020, "lazy regularisation"), and in float32. Images are judged and saved by the
generator's averaged weights.
"""  # noqa: E501

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from cxrsearch.learn.augment.frames import prepare, to_float
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.steps.compiled import ForwardPass
from cxrsearch.learn.data import TrainData, even_slices
from cxrsearch.learn.optim import build_schedule, has_fused
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.training import Training
from search.seeds import derive

from .augment import DRAWS, diff_augment
from .networks import LATENT, LINEAR, Discriminator, Generator, reduced

TASK = "gan 2"
"""Names the training in what is stored of it. Another number where the networks change."""
GAMMA = 0.02
"""Weight of the penalties, for grey in [0, 1]."""
PENALTY_EVERY = 8
"""Steps from one penalty to the next."""
HOLD = 100.0
"""Weight of what holds images of known codes to the real ones."""
HELD = 16
"""Side at which they are compared: place and tone of things, not their texture."""
CODED = 0.5
"""Share of the generated images that are of the codes of real ones."""
RATIO = 2.0
"""The discriminator's learning rate, as a multiple of the generator's (Heusel et al. 2017)."""
AXES_FROM = 10_000
"""Images at most that the generator's principal components are of: drawn once."""
_PART = 256
BETAS = (0.0, 0.99)
"""Adam's: without momentum, which keeps a game of two from circling."""
CHANNELS = 16
"""Channels at 64 pixels."""


class Pair(nn.Module):
    """Generator and discriminator as one model: what checkpoints and the average hold."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.generator = Generator(size, width)
        self.discriminator = Discriminator(size, width)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 1, S, S) -> (b,) by how much images look more real than generated ones."""
        made = self.generator(images.new_zeros(len(images), LATENT))
        scores: Tensor = self.discriminator(images) - self.discriminator(made)
        return scores


class GanTraining(Training):
    """A `Pair` in training on the rows ``data.train``.

    Args:
        recipe: genes ``input_size``, ``batch_size``, ``epochs``, ``lr``, ``schedule``,
            ``warmup``, ``ema``.
        data: images.
        seed: of weights, draws, latents and augmentation.
        compute: where and how fast.
    """

    passes = 2  # the penalties keep a second one's activations
    faster = False

    def __init__(
        self,
        recipe: Recipe,
        data: TrainData,
        *,
        seed: int,
        compute: ComputeOptions,
    ) -> None:
        self._rows = len(data.train)
        self._small = _pictures(data, recipe, derive(seed, "axes"))
        super().__init__(recipe, data, data.train, seed=seed, compute=compute)
        del self._small
        groups = [
            {"params": [*self._pair.generator.parameters()], "lr": recipe.lr},
            {"params": [*self._pair.discriminator.parameters()], "lr": RATIO * recipe.lr},
        ]
        fused = has_fused(self.device, self.scale is not None)
        self.optimizer = Adam(groups, betas=BETAS, fused=fused)
        self.schedule = build_schedule(self.optimizer, recipe, recipe.epochs * len(self.pieces))
        self._made = torch.zeros((), device=self.device)

    def build(self) -> nn.Module:
        """Both networks: a random start, but for the generator's principal components."""
        side, _ = size_of(self.recipe.input_size)
        pair = Pair(side, CHANNELS)
        pair.generator.learn_axes(self._small)
        return pair.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    @property
    def images_per_epoch(self) -> int:
        """All of them."""
        return self._rows

    def draw(self, number: int) -> np.ndarray:
        """All rows in an order of the epoch's own."""
        return np.random.default_rng(derive(self.seed, "draw", number)).permutation(self._rows)

    def batch(
        self, pixels: Tensor, index: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Images, and for each of them all that its two steps take.

        That is, for each step, the generator's numbers and whether they are the image's code;
        then the augmentation's.
        """
        images, count = to_float(pixels), len(pixels)
        how: dict[str, Any] = {"generator": generator, "device": self.device}
        latents = torch.randn((count, 2, LATENT), **how)
        coded = torch.rand((count, 2, 1), **how) < CODED
        codes = self._pair.generator.encode(images)[:, None]
        latents = torch.where(coded, codes, latents)
        draws = torch.rand((count, 4 * DRAWS), **how)
        return images, torch.cat([torch.cat([latents, coded], dim=2).flatten(1), draws], dim=1)

    def objective(self, network: ForwardPass, images: Tensor, targets: Tensor) -> Tensor:
        """The discriminator's loss, with its penalties when they are due."""
        numbers, _, draws, _ = _parted(targets)
        with torch.no_grad(), self.precision():
            made = self._pair.generator(numbers[:, :LATENT])
        changed = diff_augment(torch.cat([images, made]), draws)
        real, fake = self._scores(changed).chunk(2)
        loss = F.softplus(fake - real).mean()
        due = self.schedule.last_epoch % PENALTY_EVERY == 0
        return loss + PENALTY_EVERY * self._penalty(changed) if due else loss

    def _generator_loss(self, images: Tensor, targets: Tensor) -> Tensor:
        _, numbers, _, draws = _parted(targets)
        with self.precision():
            made = self._pair.generator(numbers[:, :LATENT])
        changed = diff_augment(torch.cat([images, made]), draws)
        with torch.no_grad():
            real = self._scores(changed[: len(images)])
        loss = F.softplus(real - self._scores(changed[len(images) :])).mean()
        errors = (reduced(made, HELD) - reduced(images, HELD)).square().mean(dim=(1, 2, 3))
        return loss + HOLD * (errors * numbers[:, LATENT]).mean() / CODED

    def _scores(self, images: Tensor) -> Tensor:
        with self.precision():
            scores: Tensor = self._pair.discriminator(images)
        return scores.float()

    def _penalty(self, images: Tensor) -> Tensor:
        """R1 of the first half of ``images``, the real ones, and R2 of the other."""
        leaves = images.detach().requires_grad_()
        with torch.autocast(self.device.type, enabled=False):
            scores = self._pair.discriminator(leaves)
            (slopes,) = torch.autograd.grad(scores.sum(), leaves, create_graph=True)
        # The mean over both halves is half the sum of the two means.
        return GAMMA * slopes.square().sum(dim=(1, 2, 3)).mean()

    def step(self, images: Tensor, targets: Tensor) -> Tensor:
        """A step of the discriminator, then one of the generator; the former's loss."""
        loss = self.gradients(
            lambda chunk, wanted: self.objective(self.model, chunk, wanted), images, targets
        )
        self.optimise()  # the generator has no gradients now, and stays
        self._pair.discriminator.requires_grad_(False)
        try:
            self._made += self.gradients(self._generator_loss, images, targets) * len(images)
        finally:
            self._pair.discriminator.requires_grad_(True)
        self.optimise()
        self.schedule.step()
        if self.average is not None:
            self.average.update(self.model)
        return loss

    def epoch(self, number: int) -> float:
        """As `Training.epoch`; the discriminator's loss."""
        self._made.zero_()
        return super().epoch(number)

    @property
    def generator_loss(self) -> float:
        """The generator's mean loss an image in the epoch before."""
        return float(self._made) / self._rows

    @property
    def _pair(self) -> Any:
        return self.model

    def make(self, latents: np.ndarray) -> np.ndarray:
        """What the generator makes of (n, `LATENT`) numbers by its averaged weights.

        Returns:
            (n, S, S) uint8.
        """
        with self.judged():
            return generate(self._pair.generator, latents, self.device, self.micro)


def _parted(targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The numbers of the two steps, then the draws of real and generated images of the two."""
    first, second = targets[:, : 2 * (LATENT + 1)].chunk(2, dim=1)
    draws = targets[:, 2 * (LATENT + 1) :].chunk(4, dim=1)
    return first, second, torch.cat(draws[:2]), torch.cat(draws[2:])


def _pictures(data: TrainData, recipe: Recipe, seed: int) -> np.ndarray:
    """At most `AXES_FROM` of the images trained on, small: (n, LINEAR * LINEAR) in [0, 1]."""
    count = min(len(data.train), AXES_FROM)
    rows = np.sort(np.random.default_rng(seed).choice(data.train, count, replace=False))
    parts = []
    for part in np.array_split(rows, -(-count // _PART)):
        images = to_float(prepare(data.images, part, recipe.crop, recipe.input_size))
        parts.append(reduced(images, LINEAR).flatten(1))
    return torch.cat(parts).numpy()


@torch.inference_mode()
def generate(
    generator: nn.Module, latents: np.ndarray, device: torch.device, at_once: int = 64
) -> np.ndarray:
    """Images of ``generator``, in float32, so that they are the same in every precision.

    Args:
        generator: a `Generator` on ``device``.
        latents: (n, `LATENT`).
        device: where it computes.
        at_once: images that go through it together.

    Returns:
        (n, S, S) uint8.
    """
    generator.eval()
    out = []
    for piece in even_slices(len(latents), at_once):
        numbers = torch.from_numpy(np.asarray(latents[piece], np.float32)).to(device)
        images = generator(numbers)[:, 0].clamp(0, 1)
        out.append((255 * images).round_().to(torch.uint8).cpu().numpy())
    return np.concatenate(out)


def latents_of(count: int, *seed: int | str) -> np.ndarray:
    """(count, `LATENT`) standard normal numbers that follow from ``seed``; float32."""
    rng = np.random.default_rng(derive(*seed))
    return rng.standard_normal((count, LATENT), np.float32)
