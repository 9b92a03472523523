"""Which tensors of a file a network takes over, and whether that is enough.

All ways to read the file's names are tried (`renaming.namings`); the one in which most bytes of
the backbone fit is taken, and of several that fit alike the first by `renaming.precedence`. A stem
for colours is folded to one for grey images. Of the backbone nearly all has to be there, with
nothing missing before its end: a layer that keeps its random start, or statistics of batch
normalisation that do, make noise of everything after it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.stem import IMAGENET_MEAN, IMAGENET_STD

from .reading import (
    COUNTER,
    WeightsFile,
    as_weight,
    names_of,
    some_of,
    tensor_problem,
)
from .renaming import (
    LUKEMELAS,
    LUKEMELAS_EPS,
    NAMINGS,
    Naming,
    Target,
    namings,
    plain_name,
    precedence,
    unwrapped,
)
from .report import BACKBONE_SHARE, Loaded, grouped, percent

MOST_BEFORE = 5
"""Tokens of a transformer that stand for no place: a class, a distillation, four registers."""

XRV_RANGE = 1024.0
"""torchxrayvision's networks take grey levels from -XRV_RANGE to XRV_RANGE."""

LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
"""Of EfficientNet-Lite's inputs, (x - 127) / 128 of levels from 0 to 255 (Google's own program)."""

IMAGENET_KINDS = frozenset({
    "MoCo's query encoder", "DINO's teacher", "a masked auto-encoder's encoder",
})  # fmt: skip
"""Whose own programs normalise by ImageNet's colours, whatever supervised weights expect."""

_WITHIN = re.compile(r"(cls|class|dist|distillation|reg|register)_tokens?|(norm_pre|ln_pre)\..+")
"""What a transformer that has it computes otherwise with, outside of its blocks."""

MOST_NEAR = 3
"""Missing names for which a near one is looked for."""
NAMES_COMPARED = 2000
"""Names among which it is."""


@dataclass(frozen=True)
class Taken:
    """What a network takes over of a file.

    Args:
        tensors: for ``load_state_dict(..., strict=False)``, by the network's own names.
        loaded: what they are, and whether they are enough.
    """

    tensors: dict[str, Tensor]
    loaded: Loaded


def starting_weights(
    target: Target, file: WeightsFile, labels: Sequence[str] = (), partial: bool = False
) -> Taken:
    """What a network takes over of ``file``.

    The last layer of its head is of labels: one of the same labels is taken over, its rows in the
    network's own order, and one of others is not.

    Args:
        target: the network.
        file: what was read.
        labels: what the network's outputs are of; empty: whatever the file's are of.
        partial: whether less than nearly all will do.

    Raises:
        InputError: where it does not fit.
    """
    found = fit(target, file, labels, partial)
    if found.loaded.problem:
        raise InputError(found.loaded.problem)
    return found


def fit(
    target: Target, file: WeightsFile, labels: Sequence[str] = (), partial: bool = False
) -> Taken:
    """`starting_weights`; what is refused says so in its `Loaded`.

    Raises:
        InputError: where what fits cannot be a weight, or could be any of several.
    """
    return _Fitting(target, file, tuple(labels), partial).result()


@dataclass
class _Fitting:
    """The state of one `fit`."""

    target: Target
    file: WeightsFile
    labels: tuple[str, ...]
    partial: bool
    notes: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    """Why tensors of the file's head are no weights, by the network's own names."""

    def result(self) -> Taken:
        chosen = self._chosen()
        if chosen is None:
            return Taken({}, self._nothing())
        return self._fit(chosen)

    def shape_fits(self, own: str, tensor: Tensor) -> bool:
        """Whether a tensor has the shape of the network's ``own``, a stem's channels aside."""
        if tensor.is_nested:
            return True  # it has no shape, and is refused for that by name
        wanted = self.target.own[own].shape
        if own == f"{self.target.stem}.weight":
            return tensor.shape in (wanted, (wanted[0], 3, *wanted[2:]))
        return tensor.shape == wanted or self._grids(own, tensor.shape) is not None

    def _chosen(self) -> Naming | None:
        """The way to read the file in which most of the backbone fits; None: none at all.

        Raises:
            InputError: where several fit alike and nothing tells them apart.
        """
        every = [
            naming
            for place, tensors in self.file.dicts.items()
            for naming in namings(self.target, place, tensors, self.shape_fits)
        ]
        if not every:
            return None
        most = max(naming.fitting for naming in every)
        alike = [naming for naming in every if naming.fitting == most]
        # Of a deeper network, a student's teacher say, all of this one's names are some.
        alike = [n for n in alike if not self._foreign(n, self.file.dicts[n.place])] or alike
        first = min(precedence(_place(naming)) for naming in alike)
        best = [naming for naming in alike if precedence(_place(naming)) == first]
        rest = [naming for naming in best[1:] if not self._same(naming, best[0])]
        if rest and most[0]:
            places = [_place(naming) or "the top of the file" for naming in [best[0], *rest]]
            raise InputError(
                f"{self.file.path}: {names_of(places)} could each be the weights; save the state "
                "dict of one of them alone"
            )
        others = {_place(naming) for naming in alike if not self._same(naming, best[0])}
        if others and most[0]:
            self.notes.append(
                f"of weights that fit alike, those at {_place(best[0]) or 'the top'} are taken, "
                f"not {names_of(sorted(others))}; to take others, save their state dict alone"
            )
        return best[0]

    def _same(self, one: Naming, other: Naming) -> bool:
        """Whether two ways to read the file give the same backbone, as of two names of a part."""
        pairs = [
            (self.file.dicts[naming.place][naming.names[own]] if own in naming.names else None)
            for own in self.target.own
            if not self.target.in_head(own)
            for naming in (one, other)
        ]
        return all(a is b or _equal(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True))

    def _fit(self, chosen: Naming) -> Taken:
        given = self.file.dicts[chosen.place]
        self._check_twice(chosen, given)
        taken = {own: given[name] for own, name in chosen.names.items()}
        taken = {own: tensor for own, tensor in taken.items() if self.shape_fits(own, tensor)}
        taken = self._without_broken_head(taken, chosen, given)
        self._check_kinds({chosen.names[own]: tensor for own, tensor in taken.items()})
        self._check_numbers(taken)
        state = {own: self._resized(own, as_weight(tensor)) for own, tensor in taken.items()}
        kinds = self._kinds(chosen, given)
        stem = self._fold_stem(state, kinds)
        head = self._head(state, chosen, given)
        target = self.target
        body = [n for n in target.own if not target.in_head(n) and not n.endswith(COUNTER)]
        fits = [name for name in body if name in state]
        used = {chosen.names[own] for own in taken}
        foreign = self._foreign(chosen, given)
        missing = [name for name in body if name not in state and name not in chosen.names]
        loaded = Loaded(
            file=str(self.file.path),
            kind=", ".join(kinds) or "a plain state dict",
            place=chosen.place,
            prefix=chosen.prefix,
            naming=chosen.naming,
            renamed=sum(unwrapped(chosen.names[own]) != f"{chosen.prefix}{own}" for own in taken),
            tensors=(len(fits), len(body)),
            bytes=(_bytes(target.own, fits), _bytes(target.own, body)),
            stem=stem,
            head=head,
            outputs=self._outputs(chosen, given),
            missing=tuple(missing),
            misshapen=tuple(n for n in body if n in chosen.names and n not in state),
            foreign=foreign,
            near=self._near(chosen, missing, [n for n in given if n not in used]),
            left_out=self._left_out(chosen, given, used, foreign),
            notes=tuple(self.notes),
            partial=self.partial,
        )
        return Taken(state, replace(loaded, problem=self._problem(loaded, body, set(fits))))

    def _grids(self, own: str, given: Sequence[int]) -> Grids | None:
        """`grids_of` the network's ``own`` and a file's tensor of the shape ``given``."""
        ours = self.file.labels is not None
        return grids_of(own, self.target.own[own].shape, given, self.target.grid, ours)

    def _resized(self, own: str, weight: Tensor) -> Tensor:
        """Embeddings of places for images of another size, those of the network's own grid."""
        grids = self._grids(own, weight.shape)
        if grids is None:
            return weight
        before, old, new = grids
        self.notes.append(
            f"{own} made {new[0]} x {new[1]} places out of {old[0]} x {old[1]}, bicubic"
        )
        kept, places = weight[:, :before], weight[:, before:]
        maps = places.transpose(1, 2).reshape(1, -1, *old)
        maps = F.interpolate(maps, new, mode="bicubic", antialias=True)
        return torch.cat([kept, maps.flatten(2).transpose(1, 2)], dim=1)

    def _without_broken_head(
        self, taken: Mapping[str, Tensor], chosen: Naming, given: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """``taken`` without layers of the head whose tensors are no weights: a head can be new.

        Whether it would fit depends on the data's labels, which whoever checks a file before a
        search does not have: what is refused must not depend on it.
        """
        for own, name in chosen.names.items():
            if self.target.in_head(own):
                problem = tensor_problem(name, given[name], self.file.size)
                self.broken.update({own: problem} if problem else {})
        layers = {own.rpartition(".")[0] for own in self.broken}
        return {own: t for own, t in taken.items() if own.rpartition(".")[0] not in layers}

    def _check_numbers(self, taken: Mapping[str, Tensor]) -> None:
        """Refuse filters and matrices that are all 0, through which no gradient gets either."""
        layers = [t for own, t in taken.items() if t.ndim > 1 and not self.target.in_head(own)]
        if layers and not any(bool(tensor.any()) for tensor in layers):
            raise InputError(
                f"{self.file.path}: its weights are all 0, from which nothing can be learnt; the "
                "file is damaged, or was saved before its network had weights"
            )

    def _check_twice(self, chosen: Naming, given: Mapping[str, Tensor]) -> None:
        counts = Counter(plain_name(name) for name in given)
        wanted = {plain_name(name) for name in chosen.names.values()}
        if twice := [name for name, count in counts.items() if count > 1 and name in wanted]:
            raise InputError(
                f"{self.file.path}: names {some_of(twice)} twice, as with and without a wrapper, "
                "or as old and as new versions of torch do; save one of them alone"
            )

    def _check_kinds(self, tensors: Mapping[str, Tensor]) -> None:
        problems: dict[str, list[str]] = {}
        for name, value in tensors.items():
            if problem := tensor_problem(name, value, self.file.size):
                problems.setdefault(problem, []).append(name)
        if problems:
            raise InputError(
                [f"{self.file.path}: {some_of(names)} {what}" for what, names in problems.items()]
            )

    def _kinds(self, chosen: Naming, given: Mapping[str, Tensor]) -> list[str]:
        """What is known of whoever wrote the file."""
        place = f"{chosen.place}.{chosen.prefix}"
        signs = {
            "cxrsearch's own": self.file.labels is not None,
            "torchxrayvision's": self._is_xrv(chosen, given),
            chosen.naming: chosen.naming == LUKEMELAS or chosen.naming != next(iter(NAMINGS)),
            "of torch 0.3, its names renewed": any(".norm.1." in name for name in given),
            "MoCo's query encoder": "encoder_q" in place,
            "DINO's teacher": chosen.place.startswith("teacher"),
            "a masked auto-encoder's encoder": any("decoder_embed" in name for name in given),
            "a checkpoint of PyTorch Lightning": "pytorch-lightning_version" in self.file.beside,
        }
        return [kind for kind, there in signs.items() if there]

    def _is_xrv(self, chosen: Naming, given: Mapping[str, Tensor]) -> bool:
        stem = chosen.names.get(f"{self.target.stem}.weight")
        grey = stem is not None and given[stem].ndim == 4 and given[stem].shape[1] == 1
        return grey and any(plain_name(name).endswith("op_threshs") for name in given)

    def _fold_stem(self, state: dict[str, Tensor], kinds: Sequence[str]) -> str:
        """Make the stem one of grey images in [0, 1], in place; what was done, in words."""
        name = f"{self.target.stem}.weight"
        offset = f"{self.target.stem}.offset"
        weight = state.get(name)
        if weight is None:
            state.pop(offset, None)  # of no use without the other
            return "new"
        if offset in state and weight.shape[1] == 1:
            return "as it is, of grey images"
        if weight.shape[1] == 3:
            mean, std = self.target.mean, self.target.std
            if not IMAGENET_KINDS.isdisjoint(kinds):
                mean, std = IMAGENET_MEAN, IMAGENET_STD
            if LUKEMELAS in kinds:
                lite = not any(".se." in own for own in self.target.own)
                mean, std = (LITE_MEAN, LITE_STD) if lite else (IMAGENET_MEAN, IMAGENET_STD)
                if self.target.eps != LUKEMELAS_EPS:
                    self.notes.append(
                        "was trained with 'same' padding and batch normalisation's eps of 0.001, "
                        "as timm's networks tf_efficientnet_* have; this one computes otherwise"
                    )
            state[name], state[offset] = self._folded(weight, mean, std)
            return (
                "three colours folded to one, of inputs normalised by mean "
                f"{_figures(mean)} and deviation {_figures(std)}"
            )
        level, spread, said = self._grey_norm(kinds)
        state[name], state[offset] = self._folded(weight, (level,), (spread,))
        return f"of grey images already, {said}"

    def _folded(
        self, weight: Tensor, mean: Sequence[float], std: Sequence[float]
    ) -> tuple[Tensor, Tensor]:
        """`GreyStem`'s two filters for those of inputs normalised by channel; see `stem`.

        With U = sum_c W_c / s_c and V = sum_c W_c m_c / s_c they are s U and V - m U, where m and s
        are the means over the colours by which the network's own stem centres its inputs.

        Args:
            weight: (out, channels, kh, kw).
            mean: of each channel.
            std: likewise, their deviations.
        """
        level, spread = sum(self.target.mean) / 3, sum(self.target.std) / 3
        wide = weight.double()
        means, deviations = (wide.new_tensor(each).view(1, -1, 1, 1) for each in (mean, std))
        grey = (wide / deviations).sum(1, keepdim=True)
        shift = (wide * means / deviations).sum(1, keepdim=True)
        return (grey * spread).to(weight.dtype), (shift - grey * level).to(weight.dtype)

    def _grey_norm(self, kinds: Sequence[str]) -> tuple[float, float, str]:
        """Mean and deviation that a stem for grey images expects, of levels in [0, 1]."""
        if "torchxrayvision's" in kinds:
            said = f"of levels from -{XRV_RANGE:g} to {XRV_RANGE:g}"
            return 0.5, 0.5 / XRV_RANGE, said
        mean, std = sum(self.target.mean) / 3, sum(self.target.std) / 3
        said = (
            "which does not say how its inputs were normalised: taken for levels in [0, 1], less "
            f"{mean:.3f}, over {std:.3f} (the mean over the colours)"
        )
        self.notes.append(f"its stem is of grey images, {said}")
        return mean, std, said

    def _head(self, state: dict[str, Tensor], chosen: Naming, given: Mapping[str, Tensor]) -> str:
        """Settle the head, in place; what became of it, in words."""
        target = self.target
        names = [n for n in target.own if target.in_head(n) and not n.endswith(COUNTER)]
        there = [name for name in names if name in state]
        if not there and self.broken:
            return f"new (its own is {next(iter(self.broken.values()))})"
        if not there:
            theirs = [n for n in names if n in chosen.names]
            shape = next((tuple(given[chosen.names[n]].shape) for n in theirs), None)
            why = "the file has none that fits" if shape is None else f"its own is {shape}"
            return f"new ({why})"
        last = names[-1].rpartition(".")[0]
        layer = [name for name in there if name.startswith(f"{last}.")]
        said = self._settle(state, layer)
        gone = [name for name in names if name not in state]
        return said + (f"; {some_of(gone)} new" if gone and not said.startswith("new") else "")

    def _settle(self, state: dict[str, Tensor], layer: list[str]) -> str:
        """Put the rows of the last layer in the order of the labels, or leave it out."""
        if not layer:
            return "new but for its first layers"
        if not self.labels:
            return "kept"
        theirs = self.file.labels_of(len(state[layer[0]]))
        if theirs == self.labels:
            return "kept"
        if not theirs:
            self.notes.append("its head is taken over, although nothing says what labels it is of")
            return "kept"
        if set(theirs) != set(self.labels):
            for key in layer:
                del state[key]
            return f"new (its own is of other labels, {names_of(theirs)})"
        order = torch.tensor([theirs.index(name) for name in self.labels])
        state.update({key: state[key].index_select(0, order) for key in layer})
        return "kept, with its labels in the order of the data's"

    def _outputs(self, chosen: Naming, given: Mapping[str, Tensor]) -> int | None:
        """Outputs of the file's own last layer, where it fits but for their number."""
        head = [name for name in self.target.own if self.target.in_head(name)]
        last = f"{head[-1].rpartition('.')[0]}.weight" if head else ""
        name = chosen.names.get(last)
        if name is None or self.broken or given[name].is_nested:
            return None
        shape, wanted = given[name].shape, self.target.own[last].shape
        return shape[0] if len(shape) == 2 and shape[1:] == wanted[1:] else None

    def _foreign(self, chosen: Naming, given: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Tensors beside the network's own, in its own parts: of a deeper network."""
        target = self.target
        body = {n for own, n in chosen.theirs.items() if not target.in_head(own)}
        tops = {name.partition(".")[0] for name in body}
        above = f"{target.head.rpartition('.')[0] or target.head}."
        named = set(chosen.names.values())
        found = []
        for name, tensor in given.items():
            spelt = plain_name(name)
            rest = spelt.removeprefix(chosen.prefix)
            part, dot, _ = rest.partition(".")
            inside = part in tops and dot and not rest.startswith(above)
            if (
                name not in named
                and spelt.startswith(chosen.prefix)
                and (inside or _WITHIN.fullmatch(rest))
                and tensor.is_floating_point()
            ):
                found.append(name)
        return tuple(found)

    def _left_out(
        self,
        chosen: Naming,
        given: Mapping[str, Tensor],
        used: set[str],
        foreign: Sequence[str],
    ) -> tuple[str, ...]:
        named = set(foreign) | {n for o, n in chosen.names.items() if not self.target.in_head(o)}
        rest = [n for n in given if n not in used | named and not n.endswith(COUNTER)]
        parts = Counter(_part(name, chosen.prefix) for name in rest)
        dicts = [place or "the top" for place in self.file.dicts if place != chosen.place]
        inside = [d for d in dicts if not d.startswith(f"{chosen.place}.") or not chosen.place]
        return (*grouped(parts), *inside, *self.file.beside)

    def _near(
        self, chosen: Naming, missing: Sequence[str], unused: Sequence[str]
    ) -> tuple[str, ...]:
        """For some of what is missing, what the file calls most like it."""
        found = []
        for own in missing[:MOST_NEAR]:
            wanted = f"{chosen.prefix}{chosen.theirs.get(own, own)}"
            close = get_close_matches(wanted, unused[:NAMES_COMPARED], 1, 0.8)
            found += [f"{wanted}: {name}" for name in close]
        return tuple(found)

    def _problem(self, loaded: Loaded, body: Sequence[str], fits: set[str]) -> str | None:
        """Why the network cannot begin with what fits, or None."""
        if not loaded.bytes[0]:
            return self._nothing(loaded.kind).problem
        if self.partial:
            return None
        last = max(i for i, name in enumerate(body) if name in fits)
        hole = next((name for name in body[:last] if name not in fits), None)
        if loaded.share >= BACKBONE_SHARE and hole is None and not loaded.foreign:
            return None
        left = [*loaded.missing, *loaded.misshapen]
        if left and all(name.endswith(("running_mean", "running_var")) for name in left):
            why = (
                "its statistics of batch normalisation are missing, which parameters() leaves out; "
                "save model.state_dict()"
            )
        else:
            why = loaded.differences
        near = f"; near: {'; '.join(loaded.near)}" if loaded.near else ""
        return (
            f"{loaded.file}: does not fit this network ({loaded.amount}; wanted: "
            f"{percent(BACKBONE_SHARE)}, without a gap): {why}{near}; to take what fits and leave "
            f"the rest random: init partial:{loaded.file}"
        )

    def _nothing(self, kind: str = "not recognised") -> Loaded:
        """Of a file in which nothing fits."""
        body = [n for n in self.target.own if not self.target.in_head(n)]
        body = [n for n in body if not n.endswith(COUNTER)]
        theirs = [name for tensors in self.file.dicts.values() for name in tensors]
        problem = (
            f"{self.file.path}: does not fit this network: none of its tensors ({names_of(theirs)})"
            f" is one of the network's ({names_of(body)})"
        )
        return Loaded(
            file=str(self.file.path), kind=kind, place="", prefix="", naming="", renamed=0,
            tensors=(0, len(body)), bytes=(0, _bytes(self.target.own, body)),
            stem="new", head="new", missing=tuple(body), partial=self.partial, problem=problem,
        )  # fmt: skip


class Grids(NamedTuple):
    """How a transformer's embeddings of places are resized.

    Args:
        before: tokens before the first place.
        old: rows and columns of the file's.
        new: of the network's.
    """

    before: int
    old: tuple[int, int]
    new: tuple[int, int]


def grids_of(
    own: str,
    wanted: Sequence[int],
    given: Sequence[int],
    grid: tuple[int, int] | None = None,
    ours: bool = False,
) -> Grids | None:
    """How embeddings of places fit a network that has others; None: they cannot, or need not.

    As many places may lie otherwise: 14 x 14 are 7 x 28.

    Args:
        own: name of the tensor.
        wanted: (1, tokens, channels) of the network.
        given: likewise, of the file; its places make a square.
        grid: rows and columns of the network's; None: a square too.
        ours: whether the file is of a network of ours, so that as many places lie alike.
    """
    if not own.endswith("pos_embed") or len(wanted) != 3 or len(given) != 3:
        return None
    if wanted[::2] != given[::2] or (wanted == given and ours):
        return None
    for before in range(MOST_BEFORE + 1):
        old, new = (math.isqrt(max(0, shape[1] - before)) for shape in (given, wanted))
        target = (new, new) if grid is None else grid
        fits = old and old**2 + before == given[1]
        if fits and target[0] and math.prod(target) + before == wanted[1]:
            return None if (old, old) == target else Grids(before, (old, old), target)
    return None


def _place(naming: Naming) -> str:
    return ".".join(part.strip(".") for part in (naming.place, naming.prefix) if part)


def _part(name: str, prefix: str) -> str:
    """The part of a network, or of what is around it, that a tensor of a file belongs to."""
    spelt = plain_name(name)
    inside = spelt.startswith(prefix)
    return (prefix if inside else "") + spelt.removeprefix(prefix).partition(".")[0]


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return False
    try:
        return one.shape == other.shape and torch.equal(one, other)
    except Exception:  # of kinds of tensors that cannot be compared
        return False


def _bytes(own: Mapping[str, Tensor], names: Sequence[str]) -> int:
    return sum(own[name].nbytes for name in names)


def _figures(values: Sequence[float]) -> str:
    texts = list(dict.fromkeys(f"{value:.3f}" for value in values))
    return " ".join(texts)
