"""A model's card as captions and texts."""

from __future__ import annotations

import textwrap

from napari_seg.models.card import Card
from napari_seg.models.catalogue import ModelEntry
from napari_seg.models.registry import ARCHITECTURES

_MOST = 160
"""Letters of a row where there is little room: attributions can be long."""

Rows = list[tuple[str, str]]


def card_rows(card: Card) -> Rows:
    """Return what is worth showing of a card where there is little room."""
    rows = [
        *_score_rows(card, ("ap_0.50", "mean_ap")),
        ("Trained on", textwrap.shorten(card.training_data, _MOST, placeholder=" …")),
        ("Network", f"{_network(card)}, {_channels(card.in_channels)}"),
        ("Object size", f"{card.object_diameter_px:.0f} px"),
        ("Thresholds", f"{card.threshold:.2f}, seeds {card.seed_threshold:.2f}"),
    ]
    return [(caption, text) for caption, text in rows if text]


def about_rows(entry: ModelEntry) -> Rows:
    """Return all that is known about a model, or what is wrong with its file."""
    card = entry.card
    where = ("File", str(entry.path or ""))
    if card is None:
        return [("Problem", entry.summary), where]
    rows = [
        ("What it does", card.description),
        ("Network", _network(card)),
        ("Images", f"{_channels(card.in_channels)}, {card.ndim}D"),
        ("Classes", ", ".join(card.classes)),
        ("Object size", f"{card.object_diameter_px:.0f} px in the network"),
        ("Thresholds", f"{card.threshold:.2f}, seeds {card.seed_threshold:.2f}"),
        *_score_rows(card, ("ap_0.50", "ap_0.75", "ap_0.90", "mean_ap", "pq")),
        ("Trained on", card.training_data),
        ("Licence", card.licence),
        ("Command", card.command),
        where,
    ]
    return [(caption, text) for caption, text in rows if text]


_SCORES = {
    "ap_0.50": "AP at IoU 0.5",
    "ap_0.75": "AP at IoU 0.75",
    "ap_0.90": "AP at IoU 0.9",
    "mean_ap": "Mean AP",
    "pq": "Panoptic quality",
}


def _score_rows(card: Card, names: tuple[str, ...]) -> Rows:
    scores = card.scores
    return [(_SCORES[n], f"{scores[n]:.3f}") for n in names if n in scores]


def _network(card: Card) -> str:
    """Return what people call a network, or its name where it is unknown here."""
    spec = ARCHITECTURES.get(card.architecture)
    return f"{spec.title} ({spec.year})" if spec is not None else card.architecture


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
