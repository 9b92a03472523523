"""From a folder of X-rays to a generator of further ones: what ``cxrsearch pretrain gan`` does.

A GAN lives in one folder:

================== ===============================================================================
gan.json           what was asked for, on which data and split, with which versions
splits.json        the split, as a study's
features/          the classifier whose features distances are between, where none was given
references.json    distances of baselines and of real images
curve.json         losses and distances, epoch by epoch
samples/           the same latent vectors as pictures, look by look
best.safetensors   the averaged generator of the look with the smallest distance
judged.json        the end: distance of fresh images, and whether they are copies
pairs.png          generated images above the training images nearest to them
generated/         images for ``--unlabelled``, with their provenance
gan.html           all of it as a page
================== ===============================================================================
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.generated import missing_images, png, write_generated
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.saved.keep import CHECKPOINT
from cxrsearch.systems.pretrain.command import PretrainImages, about_data, read_pool
from cxrsearch.version import __version__
from cxrsearch.writing import HOLDER, LOCK, alone
from search.cores import detect_cpus
from search.files import write_bytes, write_json
from search.objective import TrialError
from search.reading import read_json

from .features import FeatureNetwork, load_features, train_features
from .judge import Judge, to_dict
from .run import JUDGED, GanRun, grid, load_generator, read_best
from .settings import GanSettings, differences
from .training import TASK, generate, latents_of

GAN_CARD, GAN_VERDICT, REFERENCES, PAIRS = "gan.json", "judged.json", "references.json", "pairs.png"
GENERATED, FEATURES = "generated", "features"
GAN_FORMAT = f"cxrsearch {TASK}"
FINAL = 500
"""Images that the end is judged on; nothing was chosen by them."""
PAIRS_SHOWN = 10
"""Generated images shown above their nearest training images."""
WRITTEN_AT_ONCE = 64
"""Images written from one pass of the generator."""


def pretrain_gan(settings: GanSettings, out: Path, images: int) -> Generator[str, None, None]:
    """Train a GAN, or go on with it, judge it, and write images.

    Args:
        settings: as asked for.
        out: its folder; see `Layout`.
        images: how many to write into ``out/generated``.

    Yields:
        lines for people.

    Raises:
        InputError: for whatever cannot be used, before anything is computed.
    """
    settings = settings.with_absolute_paths()
    settings.check()
    read_card(out, settings)  # before data are read
    compute = ComputeOptions.asked(settings, threads=detect_cpus())
    given = load_features(Path(settings.features), compute) if settings.features else None
    unlabelled = Path(settings.unlabelled) if settings.unlabelled else None
    pool = read_pool(settings.of_data(), settings.plan(), unlabelled)
    record = about_data(pool, settings.of_data(), unlabelled)
    with alone(out):
        card = read_card(out, settings)
        if card is None:
            _begin(out, settings, pool, record)
        elif any(card["data"].get(name) != record[name] for name in ("trained_on", "split")):
            raise InputError(
                f"--out {out}: begun on other images or another split "
                f"({card['data'].get('split')}, now {record['split']}); give those, or name "
                "another folder"
            )
        yield from (f"note: {note}" for note in pool.notes)
        yield (
            f"training on {len(pool.data.train):,} images of {settings.size} x {settings.size}, "
            f"{pool.unlabelled:,} of them unlabelled"
        )
        try:
            yield from _train(settings, compute, pool.data, pool.unlabelled, out, given)
        except TrialError as error:
            raise InputError(f"training failed: {error}") from error
        yield from _write_images(settings, out, images)


def read_card(out: Path, settings: GanSettings) -> dict[str, Any] | None:
    """What ``out`` was begun with; None where nothing was.

    Raises:
        InputError: where it holds something else, or was begun with other settings.
    """
    if out.is_file():
        raise InputError(f"--out {out}: that is a file; name a folder")
    path = out / GAN_CARD
    if not path.exists():
        there = next(p for p in (out, *out.absolute().parents) if p.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"--out {out}: {there} cannot be written to; name another")
        ours = ("splits.json", LOCK, HOLDER)
        if out.is_dir() and any(p.name not in ours for p in out.iterdir()):
            raise InputError(f"--out {out}: not empty, and holds no GAN; name another folder")
        return None
    try:
        card = read_json(path, "the GAN's card")
        stored, known = card["settings"], card["format"] == GAN_FORMAT
        if not known and str(card["format"]).startswith("cxrsearch gan"):
            raise InputError(
                f"{path}: a GAN of another version of cxrsearch, whose networks are others; name "
                "another folder (images and page of this one stay as they are)"
            )
        if not known or not isinstance(stored, dict) or not isinstance(card["data"], dict):
            raise ValueError("of another format")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore it from a copy") from None
    if changed := differences(stored, settings):
        raise InputError(
            [*changed, f"--out {out}: give the same again to go on, or name another folder"]
        )
    return dict(card)


def _begin(out: Path, settings: GanSettings, pool: PretrainImages, about: dict[str, Any]) -> None:
    """Write the split, then the card: with it the folder is a GAN's."""
    pool.splits.save(out / "splits.json")
    record = {
        "format": GAN_FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": asdict(settings),
        "data": {**about, "images": len(pool.data.train), "notes": list(pool.notes)},
        "versions": {"cxrsearch": __version__, "torch": metadata.version("torch")},
    }
    write_json(out / GAN_CARD, record)


def _train(
    settings: GanSettings,
    compute: ComputeOptions,
    data: TrainData,
    unlabelled: int,
    out: Path,
    given: FeatureNetwork | None,
) -> Generator[str, None, None]:
    """Train to the end and judge it, where that is not done."""
    if (out / GAN_VERDICT).exists():
        return
    labelled = replace(data, train=data.train[: len(data.train) - unlabelled])
    features = given or (yield from _trained(settings, compute, labelled, out))
    yield f"distances are between features of {features.name}"
    training, held_out = (np.asarray(data.images[rows]) for rows in (data.train, data.val))
    judge = Judge(features, training, held_out, settings.seed)
    yield from _references(judge, out)
    run = GanRun(
        settings.recipe(),
        data,
        judge,
        seed=settings.seed,
        folder=out,
        compute=compute,
    )
    for record in run.train():
        yield describe_epoch(record, settings.epochs)
    yield from _end(settings, out, run, judge)


def _trained(
    settings: GanSettings, compute: ComputeOptions, labelled: TrainData, out: Path
) -> Generator[str, None, FeatureNetwork]:
    """Features of a classifier of our own."""
    return (
        yield from train_features(
            labelled,
            settings.size,
            seed=settings.seed,
            folder=out / FEATURES,
            compute=compute,
        )
    )


def _references(judge: Judge, out: Path) -> Generator[str, None, None]:
    """Measure and keep what a generator's distances stand beside."""
    found = {name: to_dict(each) for name, each in judge.references(JUDGED).items()}
    write_json(out / REFERENCES, {"features": judge.features.name, "distances": found})
    for name, each in found.items():
        yield f"distance of {name}: {each['kid']:.4f}"


def _end(settings: GanSettings, out: Path, run: GanRun, judge: Judge) -> Generator[str, None, None]:
    """Judge fresh images of the best generator, and keep what was found."""
    images = generate(run.generator(), latents_of(FINAL, settings.seed, "end"), run.device)
    verdict = judge.verdict(images)
    known = judge.training[verdict.copies.nearest[:PAIRS_SHOWN]]
    pair = np.concatenate([grid(images, PAIRS_SHOWN, 1), grid(known, PAIRS_SHOWN, 1)])
    write_bytes(out / PAIRS, png(pair))
    record = {
        "epoch": run.book["best_epoch"],
        "looks": sum(each["kid"] is not None for each in run.book["curve"]),
        "images": FINAL,
        **to_dict(verdict.distance),
        "copies": {
            **verdict.copies.to_dict(),
            "among": len(judge.training),
            "training_images": len(run.session.data.train),
        },
        "notes": run.session.notes,
    }
    write_json(out / GAN_VERDICT, record)
    (out / CHECKPOINT).unlink(missing_ok=True)
    yield describe_verdict(record)


def _write_images(settings: GanSettings, out: Path, count: int) -> Generator[str, None, None]:
    """Write what is missing of ``count`` images. The first ones are the same for every count."""
    folder = out / GENERATED
    left = missing_images(folder, settings.seed, count)
    if not left:
        return
    card, verdict = (read_json(out / name) for name in (GAN_CARD, GAN_VERDICT))
    provenance = {
        "what": "chest X-rays generated by cxrsearch pretrain gan; they show no patient",
        "use": "unlabelled images for pre-training and self-training, under the same split only",
        "split": card["data"]["split"],
        "images": count,
        "gan": {"settings": card["settings"], "data": card["data"], "versions": card["versions"]},
        "judged": verdict,
    }
    images = _images(settings, out, left)
    for done, _ in enumerate(write_generated(folder, images, settings.seed, provenance), 1):
        if done % 500 == 0 or done == len(left):
            yield f"images: {done:,} of {len(left):,} written to {folder}"


def _images(
    settings: GanSettings, out: Path, numbers: list[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Images by number, in the order of ``numbers``."""
    device = pick_device(settings.device)
    generator = load_generator(read_best(out), settings.recipe(), device)
    latents = latents_of(max(numbers), settings.seed, "images")
    for start in range(0, len(numbers), WRITTEN_AT_ONCE):
        part = numbers[start : start + WRITTEN_AT_ONCE]
        yield from zip(
            part, generate(generator, latents[[n - 1 for n in part]], device), strict=True
        )


def describe_epoch(record: dict[str, Any], epochs: int) -> str:
    """``epoch 3/100: ...``: losses, seconds and, at a look, the distance."""
    losses = "untrained"
    if record["discriminator"] is not None:
        losses = f"losses {record['discriminator']:.3f}, {record['generator']:.3f}"
    distance = f", distance {record['kid']:.4f}" if record["kid"] is not None else ""
    return f"epoch {record['epoch']}/{epochs}: {losses}{distance}, {record['seconds']:.1f} s"


def describe_verdict(record: dict[str, Any]) -> str:
    """What was found at the end, in a line or two."""
    low, high = record["interval"]
    copies = record["copies"]
    word = "it copies training images" if copies["copies"] else "no sign of copying"
    among, every = copies["among"], copies["training_images"]
    if among < every:
        word += f" (looked for among {among:,} of {every:,} training images, drawn at random)"
    return (
        f"best: epoch {record['epoch']}, of {record['looks']} looks; distance of "
        f"{record['images']} fresh images {record['kid']:.4f} ({low:.4f} to {high:.4f})\n"
        f"copies: {copies['suspects']:.1%} of them are nearer to a training image than 99% of "
        f"held-out images are: {word}"
    )
