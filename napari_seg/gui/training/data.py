"""The list of training data: open labels layers, and folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Labels, Layer
from psygnal import Signal

from napari_seg.errors import NapariSegError
from napari_seg.gui.layer_watch import LayerWatch
from napari_seg.gui.layers import METADATA_KEY
from napari_seg.gui.own_layers import is_image, is_image_or_labels, is_labels
from napari_seg.gui.training.marks import checked_part, correct_ids, correct_planes
from napari_seg.gui.training.pairing import LayerPair, pair_layer
from napari_seg.gui.training.settings import Counts
from napari_seg.training.sources import ArraySource

Part = ArraySource | Path
"""What one row gives to a training."""


@dataclass(frozen=True)
class Amount:
    """How much there is in a row."""

    images: int = 0
    """Planes that hold something."""
    objects: int = 0
    """Objects, counted plane by plane."""


@dataclass(frozen=True)
class Row:
    """One row of the list."""

    key: str
    """Names the row in requests."""
    text: str
    """Name of the layer or folder."""
    tip: str
    """More about it."""
    is_used: bool = True
    """Whether it is trained on."""
    counts: Counts = Counts.ALL
    """What of it counts."""
    choices: tuple[Counts, ...] = ()
    """What could count; none where there is no choice."""
    is_folder: bool = False
    """Whether it can be removed from the list."""
    problem: str = ""
    """Why it cannot be used."""
    note: str = ""
    """How much it is, or what the user should know."""


@dataclass
class _Choice:
    is_used: bool
    counts: Counts


class TrainingData:
    """Knows what there is to train on, and what of it the user wants.

    Parameters
    ----------
    viewer : ViewerModel
        Its labels layers are offered.
    """

    changed = Signal()
    """Layers came, went, were renamed or edited, or the user chose otherwise."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.folders: dict[Path, bool] = {}
        self._choices: WeakKeyDictionary[Labels, _Choice] = WeakKeyDictionary()
        self._amounts: dict[str, Amount] = {}
        self._problems: dict[str, str] = {}
        self._watch = LayerWatch(viewer, is_image_or_labels)
        self._watch.changed.connect(self._on_layers)

    def close(self) -> None:
        """Let go of the viewer."""
        self._watch.close()

    def labels(self) -> list[Labels]:
        """Return the labels layers that are offered, the topmost first."""
        return [x for x in self._watch.layers() if is_labels(x)]

    def pair(self, layer: Labels) -> LayerPair:
        """Return a labels layer with its image; NapariSegError if there is none."""
        images = [x for x in self._watch.layers() if is_image(x)]
        return pair_layer(layer, images)

    def rows(self) -> list[Row]:
        """Return the rows, layers first."""
        layers = [self._layer_row(layer) for layer in self.labels()]
        folders = [self._folder_row(*item) for item in self.folders.items()]
        return [self._with_amount(row) for row in (*layers, *folders)]

    def used(self) -> list[Row]:
        """Return the rows that are trained on."""
        return [row for row in self.rows() if row.is_used and not row.problem]

    def parts(self) -> dict[str, Part]:
        """Return what is trained on, by row."""
        return {row.key: self._part(row) for row in self.used()}

    def image_name(self) -> str:
        """Return the name of the first image or folder that is used."""
        for row in self.used():
            if row.is_folder:
                return row.text
            return self.pair(self._layer(row.key)).image_name
        return ""

    def choose(
        self, key: str, is_used: bool | None = None, counts: Counts | None = None
    ) -> None:
        """Use a row or not, and what of it; None leaves it as it is."""
        folder = _folder_of(key)
        if folder in self.folders:
            self.folders[folder] = is_used is not False
        elif key in [layer.name for layer in self.labels()]:
            choice = self._choice(self._layer(key))
            choice.is_used = choice.is_used if is_used is None else is_used
            choice.counts = counts or choice.counts
            if counts is not None:
                self._amounts.pop(key, None)
        self.changed.emit()

    def add_folder(self, folder: str | Path) -> None:
        """Add a folder of pairs or an exported data set."""
        self.folders[Path(folder)] = True
        self.changed.emit()

    def remove(self, key: str) -> None:
        """Take a folder off the list."""
        folder = _folder_of(key)
        if folder is not None:
            self.folders.pop(folder, None)
        self._amounts.pop(key, None)
        self._problems.pop(key, None)
        self.changed.emit()

    def uncounted(self) -> dict[str, Part]:
        """Return the rows whose amount is not known."""
        known = self._amounts.keys() | self._problems.keys()
        return {k: part for k, part in self.parts().items() if k not in known}

    def set_amount(self, key: str, amount: Amount) -> None:
        """Take in what was counted."""
        self._amounts[key] = amount
        self.changed.emit()

    def set_problem(self, key: str, problem: str) -> None:
        """Take in why a row could not be read."""
        self._problems[key] = problem
        self.changed.emit()

    def amount(self) -> Amount | None:
        """Return how much there is in all; None until it is counted."""
        found = [self._amounts.get(row.key) for row in self.used()]
        known = [amount for amount in found if amount is not None]
        if len(known) < len(found):
            return None
        return Amount(sum(a.images for a in known), sum(a.objects for a in known))

    def recount(self) -> None:
        """Forget the amounts of layers: marks were made, or pixels changed."""
        folders = {key: a for key, a in self._amounts.items() if _folder_of(key)}
        if len(folders) < len(self._amounts):
            self._amounts = folders
            self.changed.emit()

    def _layer(self, key: str) -> Labels:
        return next(layer for layer in self.labels() if layer.name == key)

    def _part(self, row: Row) -> Part:
        folder = _folder_of(row.key)
        if folder is not None:
            return folder
        layer = self._layer(row.key)
        pair = self.pair(layer)
        return pair.source(checked_part(layer, pair, row.counts))

    def _choice(self, layer: Labels) -> _Choice:
        if layer not in self._choices:
            is_marked = bool(correct_ids(layer) or correct_planes(layer))
            # What a network proposed and nobody has looked at teaches nothing.
            is_raw = "segmentation" in layer.metadata.get(METADATA_KEY, {})
            counts = Counts.OBJECTS if correct_ids(layer) else Counts.ALL
            if correct_planes(layer):
                counts = Counts.PLANES
            self._choices[layer] = _Choice(is_marked or not is_raw, counts)
        return self._choices[layer]

    def _layer_row(self, layer: Labels) -> Row:
        choice = self._choice(layer)
        row = Row(layer.name, layer.name, layer.name, choice.is_used, choice.counts)
        try:
            pair = self.pair(layer)
        except NapariSegError as error:
            return replace(row, is_used=False, problem=error.problem, tip=str(error))
        choices = [Counts.ALL, Counts.OBJECTS]
        if pair.plane_axes:
            choices.append(Counts.PLANES)
        return replace(
            row,
            tip=f"{layer.name}, on the image {pair.image_name} ({pair.axes})",
            choices=tuple(choices),
            note=_nothing_marked(layer, choice.counts),
        )

    @staticmethod
    def _folder_row(folder: Path, is_used: bool) -> Row:
        key = _folder_key(folder)
        return Row(key, folder.name, str(folder), is_used, is_folder=True)

    def _with_amount(self, row: Row) -> Row:
        if row.problem or row.key in self._problems:
            return replace(row, problem=row.problem or self._problems[row.key])
        amount = self._amounts.get(row.key)
        if row.note or amount is None or not row.is_used:
            return row
        return replace(row, note=amount_text(amount))

    def _on_layers(self, changed: Layer | None) -> None:
        # An image that changed may be that of any labels.
        names = [x.name for x in self.labels()] if changed is None else []
        self._amounts = {
            key: amount
            for key, amount in self._amounts.items()
            if key in names or _folder_of(key)
        }
        self.changed.emit()


def amount_text(amount: Amount) -> str:
    """Write how much there is as people say it.

    Examples
    --------
    >>> amount_text(Amount(1, 30)), amount_text(Amount(2, 1))
    ('1 image, 30 objects', '2 images, 1 object')
    """
    images = "image" if amount.images == 1 else "images"
    objects = "object" if amount.objects == 1 else "objects"
    return f"{amount.images} {images}, {amount.objects:,} {objects}"


def _nothing_marked(layer: Labels, counts: Counts) -> str:
    if counts is Counts.OBJECTS and not correct_ids(layer):
        return "No object is marked correct: lock them on the Correct tab."
    if counts is Counts.PLANES and not correct_planes(layer):
        return "No plane is marked correct: use the button below."
    return ""


_FOLDER = "folder:"


def _folder_key(folder: Path) -> str:
    return f"{_FOLDER}{folder}"


def _folder_of(key: str) -> Path | None:
    return Path(key.removeprefix(_FOLDER)) if key.startswith(_FOLDER) else None
