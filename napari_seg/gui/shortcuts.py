"""Every key of the plugin, in one place."""

from __future__ import annotations

from typing import NamedTuple


class Shortcut(NamedTuple):
    """A key and what it does."""

    key: str
    """In Qt's portable spelling; Ctrl is Command on a Mac."""
    action: str
    """What it does, as the user reads it."""


RUN = Shortcut("Ctrl+Alt+R", "Run the network")
CANCEL = Shortcut("Ctrl+Alt+X", "Cancel the run and keep the finished tiles")
ESTIMATE = Shortcut("Ctrl+Alt+E", "Estimate the size of the objects")
WEIGHTS = Shortcut("Ctrl+Alt+B", "Show the border weights of the labels, or hide them")
REFINE = Shortcut("Ctrl+Alt+F", "Give the labels the refined outlines, as one step")
IMPORT = Shortcut("Ctrl+Alt+N", "Import masks of the image from a file")
SAVE_RECIPE = Shortcut("Ctrl+Alt+Y", "Save how the labels were made, as a recipe")
BEFORE = Shortcut("0", "Hold to see the labels without the refinement")

# The Correct panel's work only while it is on screen.
OBJECT = Shortcut("A", "Add an object, or grow and trim it, by strokes")
SPLIT = Shortcut("S", "Split an object by one stroke on each part")
MERGE = Shortcut("J", "Join objects by a stroke across them")
DELETE = Shortcut("D", "Delete an object by a click, several by a rectangle")
LOCK = Shortcut("K", "Lock an object by a click, or unlock it")
PICK = Shortcut("I", "Select an object by a click, as Ctrl+click does in any tool")
SIGN = Shortcut("T", "Toggle what strokes mean; Shift does it for one stroke")
VOLUME = Shortcut("Shift+M", "Toggle between this plane only and the whole volume")
COMMIT = Shortcut("Enter", "Keep what the strokes propose")
DISCARD = Shortcut("Esc", "Discard the strokes, or stop what is running")
NEW_LABELS = Shortcut("Shift+L", "Make empty labels for the image")
NEW = Shortcut("N", "Start a new object")
FREE_ID = Shortcut("Shift+N", "Look for the next free id, and take it")
FILL = Shortcut("H", "Fill the holes of the selected object")
SMOOTH = Shortcut("U", "Smooth the outline of the selected object")
LARGEST = Shortcut("G", "Keep only the largest part of the selected object")
LOCK_SELECTED = Shortcut("Shift+K", "Lock the selected object, or unlock it")
DELETE_SELECTED = Shortcut("Shift+D", "Delete the selected object")
PREVIOUS = Shortcut("Q", "Carry the selected object to the previous plane or frame")
NEXT = Shortcut("W", "Carry the selected object to the next plane or frame")
THROUGH = Shortcut("Shift+W", "Carry the selected object on, both ways, until it ends")
RANGE = Shortcut("R", "Carry the selected object through a range of planes")
INTERPOLATE = Shortcut("Shift+I", "Fill the planes between those that were drawn")
DOUBT = Shortcut(".", "Go to the next doubtful object")
DOUBT_BACK = Shortcut(",", "Go back to the doubtful object before")
ACCEPT = Shortcut("Shift+A", "Accept the selected object: lock it, and go on")
DOUBT_PLANE = Shortcut("Shift+P", "Go to the next doubtful plane")
DOUBT_IMAGE = Shortcut("Shift+F", "Go to the next doubtful one of the open images")
RANK = Shortcut("Shift+U", "Rank the objects by doubt anew, or stop that")
RECOVER = Shortcut("Ctrl+Alt+V", "Recover corrections that were left last time")
FORGET = Shortcut("Ctrl+Alt+D", "Discard corrections that were left last time")
LINK = Shortcut("Ctrl+Alt+L", "Link the objects of a film over time, in a new layer")
STOP_LINK = Shortcut("Ctrl+Alt+Q", "Stop linking; nothing is changed")

CORRECTION: tuple[Shortcut, ...] = (
    OBJECT, SPLIT, MERGE, DELETE, LOCK, PICK, SIGN, VOLUME, COMMIT, DISCARD,
    NEW_LABELS, NEW, FREE_ID, FILL, SMOOTH, LARGEST, LOCK_SELECTED, DELETE_SELECTED,
    PREVIOUS, NEXT, THROUGH, RANGE, INTERPOLATE,
    DOUBT, DOUBT_BACK, ACCEPT, DOUBT_PLANE, DOUBT_IMAGE, RANK, RECOVER, FORGET,
    LINK, STOP_LINK,
)  # fmt: skip
"""The Correct panel's, in the order of the guide."""

RUN_VOLUME = Shortcut("Ctrl+Alt+Shift+R", "Segment the volume on disk, block by block")
STOP_VOLUME = Shortcut("Ctrl+Alt+Shift+X", "Stop the volume; finished blocks are kept")

TRAIN = Shortcut("Ctrl+Alt+G", "Train a new model on what is ticked")
PAUSE = Shortcut("Ctrl+Alt+H", "Let the training rest after its step, or go on")
STOP = Shortcut("Ctrl+Alt+K", "End the training, score the model and keep it")
MARK_PLANE = Shortcut("Ctrl+Alt+M", "Call this plane of the labels correct, or not")

STOP_EXPORT = Shortcut("Ctrl+Alt+C", "Cancel the export; nothing of it is kept")

TRAINING: tuple[Shortcut, ...] = (TRAIN, PAUSE, STOP, MARK_PLANE, STOP_EXPORT)
"""The Train panel's, which work only while it is on screen."""

OPEN_FOLDER = Shortcut("Ctrl+Alt+I", "Open a folder of images")
RESUME_FOLDER = Shortcut("Ctrl+Alt+J", "Go on with the folder of last time")
NEXT_IMAGE = Shortcut("PgDown", "Save the labels, and open the next image")
PREVIOUS_IMAGE = Shortcut("PgUp", "Save the labels, and open the image before")
VERIFY_IMAGE = Shortcut(
    "Shift+PgDown", "Call all of this image correct, save it, and open the next one"
)
STOP_AHEAD = Shortcut("Ctrl+Alt+Z", "Stop predicting images ahead")

FOLDER: tuple[Shortcut, ...] = (
    OPEN_FOLDER, RESUME_FOLDER, NEXT_IMAGE, PREVIOUS_IMAGE, VERIFY_IMAGE, STOP_AHEAD,
)  # fmt: skip
"""Of folder work; those of images work on every tab, while a folder is open."""

RUN_BATCH = Shortcut("Ctrl+Alt+A", "Segment the images of the folder")
PAUSE_BATCH = Shortcut("Ctrl+Alt+U", "Let the batch rest, or go on with it")
CANCEL_BATCH = Shortcut("Ctrl+Alt+W", "Stop the batch; finished images stay")

BATCH: tuple[Shortcut, ...] = (RUN_BATCH, PAUSE_BATCH, CANCEL_BATCH)
"""The Batch panel's, which work only while it is on screen."""

ALL: tuple[Shortcut, ...] = (
    RUN, CANCEL, ESTIMATE, RUN_VOLUME, STOP_VOLUME, REFINE, SAVE_RECIPE, BEFORE, IMPORT,
    WEIGHTS,
    *TRAINING, *FOLDER, *BATCH, *CORRECTION,
)  # fmt: skip
"""napari's own keys, which these must not repeat, are checked by a test."""

UNDO = Shortcut("Ctrl+Z", "Take back the last step, or the last stroke that waits")
REDO = Shortcut("Ctrl+Shift+Z", "Repeat what was taken back")

NAPARI: tuple[Shortcut, ...] = (UNDO, REDO)
"""Bound by napari for labels layers; shown on our buttons, and left to napari."""
