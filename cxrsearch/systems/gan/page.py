"""A GAN's folder as one HTML page that works offline: samples, distances, losses, copies."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go

from cxrsearch.errors import InputError
from cxrsearch.show.notes import Fact, moment
from cxrsearch.show.page import render, write_page
from cxrsearch.show.picture import png_uri
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, counted, faded, figure, text
from search.reading import read_json

LOOKS_SHOWN = 4
"""Looks whose samples are shown: the first, the last, the best and some between."""
SOURCE_COLOURS = {
    "noise": "#d1495b",
    "mean image": "#d99a2b",
    "gaussian": "#9a7fc4",
    "held-out": "#2a9d7f",
}
DISTANCE_FLOOR = 1e-4
"""Share of the largest distance of generated images below which the axis shows no difference."""
ROOM = 1000.0
"""Times that distance up to which the axis goes."""


class PagePicture(NamedTuple):
    """A PNG file within the page: its data, what it shows, its width in pixels."""

    uri: str
    title: str
    width: int


class GanView(NamedTuple):
    """What a GAN's folder holds; ``judged`` and ``references`` are empty until they are there."""

    folder: Path
    card: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]
    references: Mapping[str, Any]
    judged: Mapping[str, Any]

    @property
    def looks(self) -> list[Mapping[str, Any]]:
        """The epochs at which a distance was measured."""
        return [each for each in self.curve if each["kid"] is not None]


def read_gan(folder: Path) -> GanView:
    """Read a GAN's folder, also while it is in training.

    Raises:
        InputError: where it is none, or a file in it is damaged.
    """
    if not (folder / "gan.json").is_file():
        raise InputError(f"{folder}: no GAN; make one with `cxrsearch pretrain gan`")
    found = {}
    for name, empty in (("gan", {}), ("curve", []), ("references", {}), ("judged", {})):
        path = folder / f"{name}.json"
        try:
            found[name] = read_json(path)
        except FileNotFoundError:
            found[name] = empty
    return GanView(folder, found["gan"], found["curve"], found["references"], found["judged"])


def gan_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of the GAN in ``folder``, by default to its ``gan.html``.

    Raises:
        InputError: as `read_gan`.
    """
    return write_page(out or folder / "gan.html", gan_html(read_gan(folder), time.time()))


def gan_html(view: GanView, now: float) -> str:
    """The page's text. ``now``: seconds since 1970."""
    return render(
        "gan.html", folder=Path(__file__).parent,
        title=view.folder.resolve().name,
        warnings=warnings(view),
        facts_list=facts(view),
        samples=samples(view),
        sections=[
            Section("distance", "Distance", "Distance from the training images", [_distance(view)]),
            Section("losses", "Losses", "Losses", [_losses(view)]),
        ],
        pairs=_pairs(view),
        verdict=verdict(view),
        columns=("generated, nearest 5%", "generated, median", "held-out, nearest 5%",
                 "held-out, median"),
        lines=_lines(view),
        provenance=_provenance(view),
        notes=[*view.card["data"]["notes"], *view.judged.get("notes", [])],
        written=moment(now),
    )  # fmt: skip


def warnings(view: GanView) -> list[str]:
    """What speaks against using the generator."""
    if not view.judged:
        return []
    found = []
    if view.judged["copies"]["copies"]:
        found.append(f"The generator copies its training images. {verdict(view)}")
    known = view.references.get("distances", {})
    low = [name for name in ("noise", "mean image", "gaussian")
           if name in known and known[name]["kid"] <= view.judged["kid"]]  # fmt: skip
    if low:
        found.append(f"Its images are no nearer to real ones than: {', '.join(low)}.")
    return found


def facts(view: GanView) -> list[Fact]:
    """The figures on top."""
    data, settings = view.card["data"], view.card["settings"]
    found = []
    if view.judged:
        low, high = view.judged["interval"]
        found.append(
            Fact("distance of fresh images", f"{view.judged['kid']:.3g}",
                 f"KID; {low:.3g} to {high:.3g} over halves; best of {view.judged['looks']} looks, "
                 f"epoch {view.judged['epoch']}")
        )  # fmt: skip
        known = view.references.get("distances", {})
        if "held-out" in known:
            found.append(Fact("of held-out real images", f"{known['held-out']['kid']:.3g}",
                              "the best there is"))  # fmt: skip
    found.append(Fact("training images", f"{data['images']:,}",
                      f"{data['unlabelled']:,} of them without a label"))  # fmt: skip
    done = view.curve[-1]["epoch"] if view.curve else 0
    found.append(Fact("epochs", f"{done} of {settings['epochs']}",
                      f"{settings['size']} x {settings['size']} pixels"))  # fmt: skip
    return found


def samples(view: GanView) -> list[PagePicture]:
    """The pictures of some looks, from the first to the last."""
    looks = view.looks
    if not looks:
        return []
    last = len(looks) - 1
    places = sorted({round(i * last / (LOOKS_SHOWN - 1)) for i in range(LOOKS_SHOWN)})
    best = view.judged.get("epoch", min(looks, key=lambda each: float(each["kid"]))["epoch"])
    found = []
    for look in [looks[i] for i in places]:
        path = view.folder / "samples" / f"{look['epoch']:05d}.png"
        mark = ", the best" if look["epoch"] == best else ""
        if path.is_file():
            title = f"epoch {look['epoch']}{mark}: distance {look['kid']:.3g}"
            found.append(_picture(path, title, 512))
    return found


def _picture(path: Path, title: str, most: int) -> PagePicture:
    data = path.read_bytes()
    (width,) = struct.unpack_from(">I", data, 16)  # of the PNG's header
    uri = png_uri(data)
    return PagePicture(uri, title, min(most, width))


def _pairs(view: GanView) -> PagePicture | None:
    path = view.folder / "pairs.png"
    if not view.judged or not path.is_file():
        return None
    return _picture(
        path,
        "Above: generated images; below: the training image nearest to each in features.",
        2048,
    )


def verdict(view: GanView) -> str:
    """What the copy check found, as a sentence."""
    if not view.judged:
        return ""
    copies = view.judged["copies"]
    word = "That is copying." if copies["copies"] else "By chance it would be 1% or less."
    among, every = copies.get("among"), copies.get("training_images")
    if among and every and among < every:
        word += f" Looked at were {among:,} of the {every:,} training images, drawn at random."
    return (
        f"{copies['suspects']:.1%} of {view.judged['images']} fresh images are nearer to a "
        "training image, in pixels and in features, than 99% of real images of other patients "
        f"are. {word}"
    )


def _lines(view: GanView) -> list[tuple[str, list[str]]]:
    if not view.judged:
        return []
    copies = view.judged["copies"]
    return [
        ("in pixels (grey levels)", [f"{value:.1f}" for value in copies["pixels"]]),
        ("in features", [f"{value:.3f}" for value in copies["features"]]),
    ]


def _distance(view: GanView) -> Panel:
    if not view.looks:
        return Panel("", sentence="No distance has been measured yet.")
    features = view.references.get("features", "unknown features")
    return Panel(
        "",
        distance_figure(view),
        caption="Kernel inception distance (unbiased, cubic kernel) of generated images from the "
        f"training images, between features of {features}, each brought to one length. Bands and "
        "bars: 95% of the distances between random halves. Gaussian: draws from the training "
        "images' principal components. Held-out: real images of the validation part, the best that "
        "there is. The axis is logarithmic; what is beyond its ends is drawn at them.",
    )


def distance_figure(view: GanView) -> go.Figure:
    """Distance by epoch, with a line for each baseline."""
    known = view.references.get("distances", {})
    top = max(max(look["kid"] for look in view.looks), 1e-8)
    low, high = DISTANCE_FLOOR * top, ROOM * top
    fig = figure(440)
    epochs = [look["epoch"] for look in view.looks]
    bounds = [[max(low, look["interval"][i]) for look in view.looks] for i in (0, 1)]
    fig.add_scatter(
        x=epochs + epochs[::-1], y=bounds[1] + bounds[0][::-1], fill="toself", mode="lines",
        line={"width": 0}, fillcolor=faded(BEST_COLOUR, 0.2), hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    fig.add_scatter(
        x=epochs, y=[max(low, look["kid"]) for look in view.looks], name="generated",
        mode="lines+markers", line={"color": BEST_COLOUR, "width": 3},
        text=[f"epoch {look['epoch']}: {look['kid']:.4g}" for look in view.looks],
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    for name, each in known.items():
        fig.add_scatter(
            x=[0, max(*epochs, 1)], y=[min(high, max(low, each["kid"]))] * 2,
            name=f"{text(name)} {each['kid']:.3g}", mode="lines",
            line={"color": SOURCE_COLOURS.get(name, QUIET), "width": 2, "dash": "dash"},
            text=[f"{text(name)}: {each['kid']:.4g}"] * 2,
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text="epoch", **counted(epochs))
    fig.update_yaxes(title_text="distance (KID)", type="log", dtick=1, exponentformat="power")
    return fig


def _losses(view: GanView) -> Panel:
    if len(view.curve) < 2:
        return Panel("", sentence="No epoch is finished yet.")
    return Panel(
        "",
        losses_figure(view),
        caption="Mean of each epoch. At ln 2 = 0.69 the discriminator tells nothing apart; the "
        "discriminator's includes its gradient penalties.",
    )


def losses_figure(view: GanView) -> go.Figure:
    """Losses of both networks by epoch."""
    fig = figure(340)
    curve = [each for each in view.curve if each["discriminator"] is not None]
    epochs = [each["epoch"] for each in curve]
    for name, colour in (("discriminator", STYLES["complete"].colour), ("generator", BEST_COLOUR)):
        fig.add_scatter(
            x=epochs, y=[each[name] for each in curve], name=name, mode="lines",
            line={"color": colour, "width": 2},
            hovertemplate=f"epoch %{{x}}, {name}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title_text="epoch", **counted(epochs))
    fig.update_yaxes(title_text="loss")
    return fig


def _provenance(view: GanView) -> dict[str, str]:
    data, settings = view.card["data"], view.card["settings"]
    return {
        "data": str(data["data"]),
        "its fingerprint": data["data_fingerprint"],
        "split": data["split"],
        "begun": str(view.card["created"]),
        "features": str(view.references.get("features", "–")),
        **{name.replace("_", " "): str(value) for name, value in settings.items()
           if name in ("seed", "size", "epochs", "batch_size", "lr", "precision")},
        **{name: str(value) for name, value in view.card["versions"].items()},
    }  # fmt: skip
