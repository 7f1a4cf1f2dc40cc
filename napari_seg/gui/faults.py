"""Errors, said in one line; those of the program with their traceback."""

from __future__ import annotations

from napari.utils.notifications import notification_manager

from napari_seg.errors import NapariSegError


def explained(error: BaseException) -> tuple[str, bool]:
    """Return what to tell the user, and whether it is a fault of the program."""
    if isinstance(error, NapariSegError):
        return str(error), False
    if isinstance(error, MemoryError):
        return "Not enough memory. Choose a smaller region, or close images.", False
    return f"Unexpected {type(error).__name__}: {error}", True


def notify(error: BaseException) -> None:
    """Show a fault of the program in napari, with its traceback."""
    notification_manager.receive_error(type(error), error, error.__traceback__)
