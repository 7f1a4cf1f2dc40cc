"""From what the panel shows to what the weights are computed with, and back."""

from __future__ import annotations

from dataclasses import replace

from napari_seg.gui.weights.grid import Grid
from napari_seg.imaging.weightmap import BorderWeights
from napari_seg.state import ADVANCED_RANGES, WeightSettings
from napari_seg.training.targets import LOSS_WEIGHTS

PX, UM = "px", "µm"
_TOPS = (1.5, 3.0, 6.0, 12.0, 25.0, 55.0)
"""Weights that are shown brightest: few, so that the picture gets brighter with w0."""


def units(grid: Grid) -> tuple[str, ...]:
    """Return the units that sigma can be set in."""
    return (PX,) if grid.pixel_um is None else (PX, UM)


def unit(settings: WeightSettings, grid: Grid) -> str:
    """Return the unit that sigma is shown in."""
    return UM if settings.is_um and grid.pixel_um is not None else PX


def sigma_range(settings: WeightSettings, grid: Grid) -> tuple[float, float]:
    """Return smallest and largest sigma in the unit shown."""
    low, high = ADVANCED_RANGES["sigma_px"]
    if unit(settings, grid) == PX or grid.pixel_um is None:
        return low, high
    return low * grid.pixel_um, high * grid.pixel_um


def sigma(settings: WeightSettings, grid: Grid) -> float:
    """Return sigma in the unit shown."""
    low, high = sigma_range(settings, grid)
    value = settings.sigma_px
    if unit(settings, grid) == UM:
        value = settings.sigma_um
    return min(max(value, low), high)


def with_sigma(settings: WeightSettings, grid: Grid, value: float) -> WeightSettings:
    """Take a sigma in the unit shown."""
    if unit(settings, grid) == UM:
        return replace(settings, sigma_um=value)
    return replace(settings, sigma_px=value)


def with_unit(settings: WeightSettings, grid: Grid, name: str) -> WeightSettings:
    """Show sigma in another unit; it stays as wide as it was."""
    if name == unit(settings, grid) or grid.pixel_um is None:
        return settings
    now = sigma(settings, grid)
    if name == UM:
        return replace(settings, is_um=True, sigma_um=now * grid.pixel_um)
    return replace(settings, is_um=False, sigma_px=now / grid.pixel_um)


def weights_of(settings: WeightSettings, grid: Grid) -> BorderWeights:
    """Return the loss's weights with these settings, in widths of a pixel."""
    width = sigma(settings, grid)
    if unit(settings, grid) == UM and grid.pixel_um is not None:
        width /= grid.pixel_um
    return replace(
        LOSS_WEIGHTS,
        w0=settings.w0,
        sigma=width,
        spacing=grid.spacing(settings.is_volume),
        balance_classes=settings.balance_classes,
    )


def limits(settings: WeightSettings) -> tuple[float, float]:
    """Return the weights to show black and brightest."""
    # Without balance nothing weighs less than 1.
    low = 0.0 if settings.balance_classes else 1.0
    return low, next(top for top in _TOPS if top >= settings.w0 + 1 or top == _TOPS[-1])
