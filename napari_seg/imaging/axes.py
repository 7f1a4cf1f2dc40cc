"""Which axis of an array is what: T, C, Z, Y, X, as in OME and tifffile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_seg.errors import AxesError

AXES = "TCZYX"
_GUESSES = {2: "YX", 3: "ZYX", 4: "TZYX"}
_COLOUR_SIZES = (3, 4)
# napari's default axis labels ("0", "-1") and tifffile's "Q"/"I" carry no meaning.
_SYNONYMS = {
    "TIME": "T",
    "CHANNEL": "C",
    "CHANNELS": "C",
    "SAMPLE": "C",
    "S": "C",
    "PLANE": "Z",
    "DEPTH": "Z",
    "SLICE": "Z",
    "ROW": "Y",
    "COLUMN": "X",
}


@dataclass(frozen=True)
class PlaneIndex:
    """Position of one Y-X plane in a stack.

    Parameters
    ----------
    t, z : int
        Frame and plane; 0 where the image has no such axis.
    """

    t: int = 0
    z: int = 0


@dataclass(frozen=True)
class FrameIndex:
    """All planes of one frame, which a network in three dimensions sees together.

    Parameters
    ----------
    t : int
        Frame; 0 where the image has no such axis.
    """

    t: int = 0


Piece = PlaneIndex | FrameIndex
"""What a network sees of a stack at once."""


def guess_axes(
    shape: Sequence[int], *, rgb: bool = False, names: Sequence[str] | None = None
) -> str:
    """Guess an axes string from names where there are any, else from the shape.

    Parameters
    ----------
    shape : sequence of int
        Shape of the image.
    rgb : bool, optional
        Whether the last axis is colour for certain, as napari knows it.
    names : sequence of str, optional
        One name per axis: napari's ``axis_labels``, tifffile's ``axes``.

    Returns
    -------
    str
        Axes in the order of the array, e.g. ``"ZYX"``.

    Raises
    ------
    AxesError
        If the array has fewer than two or more than five axes.
    """
    shape = tuple(shape)
    if rgb and names is not None and len(names) == len(shape) - 1:
        names = [*names, "C"]  # napari leaves the colour axis unnamed
    named = _from_names(names, len(shape))
    if named is not None:
        return named
    is_colour = rgb or (
        len(shape) >= 3
        and shape[-1] in _COLOUR_SIZES
        and min(shape[-3:-1]) > max(_COLOUR_SIZES)
    )
    leading = len(shape) - is_colour
    if is_colour and leading in _GUESSES:
        return _GUESSES[leading] + "C"
    if len(shape) == 5:
        return "TZCYX"
    if len(shape) == 4 and _smallest_is_channel(shape):
        return "ZCYX" if shape[1] < shape[0] else "CZYX"
    if len(shape) in _GUESSES:
        return _GUESSES[len(shape)]
    raise AxesError(
        "The axes of the image cannot be guessed",
        f"{len(shape)} axes, shape {shape}",
        "Pass a 2D to 5D image, or name the axes with letters of TCZYX",
    )


def _smallest_is_channel(shape: Sequence[int]) -> bool:
    """Whether a four-dimensional stack has a short axis that can only be channels."""
    return 2 <= min(shape[:2]) <= 4 < max(shape[:2])


def _from_names(names: Sequence[str] | None, ndim: int) -> str | None:
    """Read the names as an axes string, or None where they do not make one."""
    if names is None or len(names) != ndim:
        return None
    letters = [_SYNONYMS.get(str(n).strip().upper(), str(n).upper()) for n in names]
    unknown = [i for i, letter in enumerate(letters) if letter in ("Q", "I")]
    for i in unknown:  # ImageJ stacks without a declared order
        letters[i] = next((a for a in "ZT" if a not in letters), "?")
    axes = "".join(letters)
    is_usable = len(axes) == ndim and set(axes) <= set(AXES)
    is_usable = is_usable and len(set(axes)) == ndim and {"Y", "X"} <= set(axes)
    return axes if is_usable else None


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Return the axes string upper-cased, or say what is wrong with it.

    Parameters
    ----------
    axes : str
        One letter of TCZYX per axis, in the order of the array.
    shape : sequence of int
        Shape of the image.

    Returns
    -------
    str
        `axes` in upper case.

    Raises
    ------
    AxesError
        On unknown or repeated letters, a wrong length, or no Y or X.
    """
    shape = tuple(shape)
    upper = axes.strip().upper()
    remedy = "Use each of the letters T, C, Z, Y, X at most once, one per axis"
    unknown = sorted(set(upper) - set(AXES))
    if unknown:
        raise AxesError(
            f"The axes {axes!r} name unknown axes", "".join(unknown), remedy
        )
    if len(set(upper)) != len(upper):
        raise AxesError("The axes repeat a letter", repr(axes), remedy)
    if len(upper) != len(shape):
        raise AxesError(
            f"The axes {axes!r} do not fit an image of {len(shape)} axes",
            f"shape {shape}",
            remedy,
        )
    if not {"Y", "X"} <= set(upper):
        raise AxesError("The axes lack Y or X", repr(axes), remedy)
    return upper


def spatial_axes(axes: str) -> str:
    """Return the axes without C; labels have exactly these, in this order."""
    return axes.upper().replace("C", "")


def spatial_shape(axes: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape without the channel axis."""
    return tuple(int(n) for a, n in zip(axes.upper(), shape, strict=True) if a != "C")


def spacing_by_axis(axes: str, spacing: Sequence[float]) -> dict[str, float]:
    """Return the distance between pixels along each axis; T may be left out of it."""
    kept = spatial_axes(axes)
    if len(spacing) < len(kept):
        kept = kept.replace("T", "")
    return dict(zip(kept, spacing, strict=True))


def axis_size(axes: str, shape: Sequence[int], axis: str) -> int:
    """Return the length of one axis, 1 where the image does not have it."""
    position = axes.upper().find(axis)
    return int(shape[position]) if position >= 0 else 1


def iter_planes(axes: str, shape: Sequence[int]) -> Iterator[PlaneIndex]:
    """Yield every combination of T and Z, T outermost.

    Parameters
    ----------
    axes : str
        Axes of the image or of its labels.
    shape : sequence of int
        Shape that belongs to `axes`.

    Yields
    ------
    PlaneIndex
        One for each Y-X plane.
    """
    for t in range(axis_size(axes, shape, "T")):
        for z in range(axis_size(axes, shape, "Z")):
            yield PlaneIndex(t, z)


def plane_selection(
    axes: str,
    plane: Piece,
    window: tuple[slice, ...] | None = None,
    channel: int | slice = slice(None),
) -> tuple[int | slice, ...]:
    """Return the index that cuts a window of one plane or frame out of the array.

    Parameters
    ----------
    axes : str
        Axes of the array.
    plane : PlaneIndex or FrameIndex
        Which plane, or which frame.
    window : tuple of slice, optional
        Rows and columns; of a frame planes, rows and columns.
    channel : int or slice, optional
        Which channels, where the array has any.

    Returns
    -------
    tuple of int or slice
        One entry per axis of the array.
    """
    *planes, rows, columns = window or (slice(None),) * 3
    part: dict[str, int | slice] = {
        "T": plane.t,
        "C": channel,
        "Z": plane.z if isinstance(plane, PlaneIndex) else planes[0],
        "Y": rows,
        "X": columns,
    }
    return tuple(part[axis] for axis in axes.upper())
