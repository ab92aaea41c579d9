"""Two lots of answers as a picture: one against the other, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.errors import InvalidInput, PlatformFailed
from rasen.replay.asking import Answer
from rasen.replay.differences import Comparison, numbers_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUFFIXES = (".png", ".svg", ".pdf")
_MOST_FIELDS = 4
_MOST_CLASSES = 12
_INK, _ACCENT = "#334155", "#2563eb"


def check_plot_file(path: Path) -> None:
    """Refuse a file that a plot cannot be written to.

    Raises:
        InvalidInput: Its name ends in something else, or its folder is not there.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(
            f"{str(path)!r} is no file for a plot: its name must end in {', '.join(_SUFFIXES)}"
        )
    if not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{str(path)!r} cannot be written: there is no folder {str(path.absolute().parent)!r}"
        )


def plot_answers(
    path: Path,
    left: Sequence[Answer],
    right: Sequence[Answer],
    comparison: Comparison,
    *,
    labels: tuple[str, str],
    title: str,
) -> None:
    """Draw each field with numbers as a scatter and a histogram, each field with classes as a table of counts.

    Raises:
        InvalidInput: There is nothing to draw, or the file cannot be written.
        PlatformFailed: matplotlib is not installed.
    """
    check_plot_file(path)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlatformFailed("a plot needs matplotlib; install rasen[batch]") from error
    names = [*comparison.spreads, *(name for name in comparison.confusion if name not in comparison.spreads)]
    if not names:
        raise InvalidInput("there is nothing to draw: no row has a number or a class from both sides")
    names = names[:_MOST_FIELDS]
    # Made without pyplot: no window, no state that outlives it.
    figure = Figure(figsize=(9.0, 3.8 * len(names)), dpi=80, layout="constrained")
    panels = figure.subplots(len(names), 2, squeeze=False)
    for name, (first, second) in zip(names, panels, strict=True):
        if name in comparison.spreads:
            pairs = [
                (one, other)
                for one, other in zip(numbers_of(left, name), numbers_of(right, name), strict=True)
                if one is not None and other is not None
            ]
            _scatter(first, pairs, labels, name)
            _histogram(second, pairs, labels, name)
        else:
            _counts(first, comparison.confusion[name], labels, name)
            second.set_axis_off()
    figure.suptitle(title, color=_INK, fontsize=11)
    try:
        figure.savefig(path)
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be written: {error.strerror or error}") from None


def _scatter(axes: Axes, pairs: list[tuple[float, float]], labels: tuple[str, str], name: str) -> None:
    ones, others = zip(*pairs, strict=True)
    ends = [min(*ones, *others), max(*ones, *others)]
    axes.plot(ends, ends, color=_INK, linewidth=0.8, alpha=0.6)
    # Many points make a vector file huge, so these are pixels in any file.
    axes.scatter(ones, others, s=9, alpha=0.35, color=_ACCENT, linewidths=0, rasterized=True)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.set_title(f"{name}: answers" if name else "answers", fontsize=10)


def _histogram(axes: Axes, pairs: list[tuple[float, float]], labels: tuple[str, str], name: str) -> None:
    distances = [other - one for one, other in pairs]
    low, high = min(distances), max(distances)
    # Differences of the last bits only would make bins narrower than a float can tell apart.
    width = max(high - low, 1e-9 * max(map(abs, (*distances, 1.0))))
    axes.hist(distances, bins=40, range=(low - width / 20, high + width / 20), color=_ACCENT, alpha=0.8)
    axes.axvline(0.0, color=_INK, linewidth=0.8, alpha=0.6)
    axes.set_xlabel(f"{labels[1]} − {labels[0]}")
    axes.set_ylabel("rows")
    axes.set_title(f"{name}: differences" if name else "differences", fontsize=10)


def _counts(axes: Axes, counts: dict[tuple[str, str], int], labels: tuple[str, str], name: str) -> None:
    classes = sorted({one for pair in counts for one in pair})[:_MOST_CLASSES]
    table = [[counts.get((one, other), 0) for other in classes] for one in classes]
    axes.imshow(table, cmap="Blues", aspect="auto")
    for row, line in enumerate(table):
        for column, count in enumerate(line):
            dark = count > max(map(max, table)) / 2
            axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else _INK)
    axes.set_xticks(range(len(classes)), classes, rotation=45)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel(labels[1])
    axes.set_ylabel(labels[0])
    axes.set_title(f"{name}: classes" if name else "classes", fontsize=10)
