"""Where starting weights come from, and what they have seen: of a study, and of other data.

Weights say it by what lies beside them: those of `cxrsearch pretrain` by their record, those of a
model folder by its card, those that a trial kept by its study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxrsearch.data.copy_names import NOTHING
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.learn.networks.weights.asked import start_of
from cxrsearch.learn.pseudo import load_pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_labels
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.card import read_card
from cxrsearch.model.folder import CARD
from cxrsearch.model.folder import WEIGHTS as MODEL
from cxrsearch.model.predictor import SPLITS
from cxrsearch.model.pretrain_record import PRETRAINED, RECORD, read_record
from search.errors import SearchError
from search.store.record import read_study

from ..unlabelled import NOBODY_KNOWN


@dataclass(frozen=True)
class Origin:
    """The training that wrote a file of weights.

    Args:
        what: it was, for people.
        split: fingerprint of the split whose training part it saw.
        validation: whether it was trained on the validation part of that split too.
        init: what it began with itself, as the gene.
        images: those that it is known to have seen, with and without their labels: their names,
            and what stands for their files, empty where not known.
        whole: whether these are all that it saw.
        unknown: weights before it of which nobody knows what they saw; None: not recorded. Where
            they are, ``images`` has what those before it saw too.
        labels: what its head is of; empty: not known.
        people: whether it is known whom all images show, so that nobody of its split's
            validation and test part is among them.
    """

    what: str
    split: str
    validation: bool
    init: str
    images: frozenset[tuple[str, str]]
    whole: bool
    unknown: frozenset[str] | None = None
    labels: tuple[str, ...] = ()
    people: bool = True


def also_seen(
    recipe: Recipe, pseudo: Path | None = None, contents: Mapping[str, str] = NOTHING
) -> dict[str, list[str]]:
    """What a model of ``recipe`` has seen beside the labelled images that it is trained on.

    Args:
        recipe: of the model; its starting weights are still where it says.
        pseudo: the file of the pseudo-labels that it learns from.
        contents: name -> what stands for the file, of the images of these.

    Returns:
        for `ModelMeta.also_seen`; empty where there is nothing to tell.
    """
    if recipe.pseudo == "none" and start_of(recipe.init).file is None:
        return {}
    images: set[tuple[str, str]] = set()
    unknown: set[str] = set()
    if recipe.pseudo != "none" and pseudo is not None:
        images |= _known(load_pseudo(pseudo).names.tolist(), contents)
    chain, start = origins_of(recipe.init)
    before = recipe.init
    for origin in chain:
        images |= origin.images
        unknown |= set() if origin.whole else {before}
        if origin.unknown is not None:
            unknown |= origin.unknown
            break
        before = origin.init
    else:
        unknown |= {start} if _is_file(start) else set()
    pairs = sorted(images)
    found = [content for _, content in pairs]
    return {
        "images": [name for name, _ in pairs],
        **({"contents": found} if any(found) else {}),
        "unknown": sorted(unknown),
    }


def _known(names: Iterable[str], contents: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """``names``, each with its content, empty where that is not known."""
    return frozenset((name, contents.get(name, "")) for name in names)


def origin_notes(inits: Iterable[str], split: str, label_names: tuple[str, ...] = ()) -> list[str]:
    """Where starting weights come from, and whether they have seen a study's other parts.

    Args:
        inits: values of the gene ``init``.
        split: fingerprint of the study's split.
        label_names: those of the study's data; empty: no head is to be trained.

    Raises:
        InputError: where the record of a pre-training cannot be read.
    """
    return [_note(init, split) + _head_note(init, label_names) for init in inits if _is_file(init)]


def _head_note(init: str, label_names: tuple[str, ...]) -> str:
    """What becomes of the head where it is of other labels than those to learn."""
    chain, _ = origins_of(init)
    theirs = chain[0].labels if chain else ()
    if not theirs or not label_names or set(theirs) == set(label_names):
        return ""
    return (
        f"; its labels are others ({some_names(theirs)}), so all but its head is taken over: the "
        "head begins anew"
    )


def _note(init: str, split: str) -> str:
    chain, start = origins_of(init)
    if not chain:
        return (
            f"init {init}: nothing beside it says what it was trained on: it may have seen images "
            "of this study's validation and test parts, and values there may be too good"
        )
    unknown = "" if not _is_file(start) else f"; before that init {start}, unknown"
    origin = f"init {init}: {chain[0].what}" + " (begun with weights of another training)" * (
        len(chain) > 1
    )
    foreign = next((each.split for each in chain if each.split != split), None)
    if foreign is not None:
        return (
            f"{origin}, under another split ({foreign}, here {split}): where the data are the same "
            "it has seen images of this study's validation and test parts; train it with the same "
            f"data, --seed and shares to keep them unseen{unknown}"
        )
    if any(each.validation for each in chain):
        return (
            f"{origin}, this study's validation part among them: what is measured there, and "
            "chosen by, is too good; begin with weights of its training part alone, such as "
            f"those that a trial kept (trials/N/{BEST}){unknown}"
        )
    if not all(each.people for each in chain):
        return f"{origin}; {NOBODY_KNOWN}{unknown}"
    return f"{origin}, none of a patient of this study's validation or test part{unknown}"


def origins_of(init: str) -> tuple[list[Origin], str]:
    """The training that wrote ``init``, then that whose weights it began with, and so on.

    Returns:
        them, and what the first of all began with: ``none``, ``imagenet``, or a file of which
        nothing is known.
    """
    found: list[Origin] = []
    seen: set[str] = set()
    while _is_file(init) and init not in seen:
        seen.add(init)
        origin = _origin(init)
        if origin is None:
            break
        found.append(origin)
        init = origin.init
    return found, init


def _is_file(init: str) -> bool:
    """Whether weights are of a user's file, so that one may ask what they have seen."""
    return start_of(init).file is not None


def _origin(init: str) -> Origin | None:
    """The training that wrote the file ``init``; None where nothing says, or nobody may look."""
    try:
        path = Path(start_of(init).source).expanduser()
        return _pretraining(path) or _model(path) or _trial(path)
    except (OSError, RuntimeError):  # a card may name a place in somebody else's home
        return None


def _pretraining(path: Path) -> Origin | None:
    if path.name != PRETRAINED or not (path.parent / RECORD).is_file():
        return None
    record = read_record(path.parent)
    what = f"{record['method']}, {len(record['losses'])} epochs on {record['images']:,} images"
    names, init = record.get("image_names"), str(record.get("init", "none"))
    found = list(map(str, names if isinstance(names, list) else ()))
    contents = record.get("image_contents")
    listed = list(map(str, contents)) if isinstance(contents, list) else []
    images = _known(found, dict(zip(found, listed, strict=False)))
    people = NOBODY_KNOWN not in str(record.get("notes"))
    return Origin(
        what, record["split"], False, init, images, isinstance(names, list), people=people
    )


def _model(path: Path) -> Origin | None:
    """Of a model folder; one without a card of ours says nothing."""
    try:
        card = read_card(path.parent / CARD) if path.name == MODEL else None
    except InputError:
        return None
    if card is None:
        return None
    images = card["training"].get("images")
    what = f"a model trained on {images:,} images" if isinstance(images, int) else "a trained model"
    validation = "validation" in str(card["training"].get("rows"))
    init = str(card["recipe"].get("init", "none"))
    split, seen = card["data"]["split_fingerprint"], card.get("also_seen")
    labels = tuple(card["labels"])
    images, whole = _labelled(path.parent / SPLITS, split, validation)
    if seen is None:
        whole &= card["recipe"].get("pseudo", "none") == "none"
        return Origin(what, split, validation, init, images, whole, labels=labels)
    listed = seen.get("contents") or [""] * len(seen["images"])
    images |= frozenset(zip(seen["images"], listed, strict=True))
    unknown = frozenset(seen["unknown"])
    return Origin(what, split, validation, init, images, whole, unknown, labels)


def _trial(path: Path) -> Origin | None:
    """Of weights that a study's trial kept."""
    number, study = path.parent.name, path.parent.parent.parent
    if (path.name, path.parent.parent.name) != (BEST, "trials") or not number.isdigit():
        return None
    try:
        record = read_study(study)
        params = record.trials[int(number)].user_attrs["params"]
        split = str(record.attrs["split_fingerprint"])
        labels = load_labels(study / "labels.npz").label_names
    except (SearchError, KeyError, IndexError):
        return None
    what = f"trial {number} of {study}, trained on its training part"
    recipe = Recipe.from_params(params)
    images, whole = _labelled(study / SPLITS, split, False)
    # Images without a label are named in a file that may be anywhere by now.
    whole &= recipe.pseudo == "none"
    return Origin(what, split, False, recipe.init, images, whole, labels=labels)


def _labelled(path: Path, split: str, validation: bool) -> tuple[frozenset[tuple[str, str]], bool]:
    """The images of the training part, and of the validation part, and whether they are known.

    Args:
        path: a ``splits.json``, which may be gone or of another split.
        split: fingerprint of the wanted one.
        validation: whether those of the validation part are wanted too.
    """
    try:
        splits = Splits.load(path)
    except InputError:
        return frozenset(), False
    if splits.fingerprint != split:
        return frozenset(), False
    names = [*splits.train, *(splits.val if validation else ())]
    return _known(names, splits.contents), True
