"""What lies over the canvas of a side view: lines at the other planes, letters, a number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari.components import ViewerModel
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QWidget

_LINE = QColor(128, 203, 196, 150)
_TEXT = QColor("#cfd8dc")
_SHADE = QColor(0, 0, 0, 110)
_RIM = [QPointF(x, y) for x in (-1.5, 0, 1.5) for y in (-1.5, 0, 1.5) if x or y]
_POINTS = 11
# What is looked at stays free of lines, and so do the letters at the edges.
_GAP = 12.0
_EDGE = 28
_MARGIN = 8
# Of the letters, as parts of width and height: top, bottom, left, right.
_EDGES = ((0.5, 0), (0.5, 1), (0, 0.5), (1, 0.5))


class PlaneMarks(QWidget):
    """Lies over a canvas and lets the mouse through.

    Qt draws it, not OpenGL: when the lines move, the image below is not drawn again.

    Parameters
    ----------
    canvas
        Widget of the canvas.
    model
        Its viewer.

    Attributes
    ----------
    letters
        Sides of the patient at the top, bottom, left and right; empty without a CT.
    number
        Which slice is shown, or an empty string.
    """

    def __init__(self, canvas: QWidget, model: ViewerModel) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._camera = model.scene.camera
        self._at: tuple[float, float] | None = None
        self._lines: Sequence[tuple[float, float]] = ()
        self.letters: Sequence[str] = ()
        self.number = ""

    @property
    def centre(self) -> QPointF | None:
        """Where the lines cross, in pixels of the canvas, or None without lines."""
        if self._at is None:
            return None
        row, column = self._at
        *_, middle_row, middle_column = self._camera.center
        zoom = self._camera.zoom
        return QPointF(
            (column - middle_column) * zoom + self.width() / 2,
            (row - middle_row) * zoom + self.height() / 2,
        )

    def cross(
        self, at: tuple[float, float] | None, lines: Sequence[tuple[float, float]] = ()
    ) -> None:
        """Draw lines through a place ``(row, column)`` in mm, or none.

        Parameters
        ----------
        at
            The place.
        lines
            Directions ``(row, column)``.
        """
        self._at, self._lines = at, lines
        self.update()

    def write(self, letters: Sequence[str], number: str) -> None:
        """Set the letters and the number."""
        self.letters, self.number = letters, number
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw everything."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_lines(painter)
        font = self.font()
        font.setPointSize(_POINTS)
        painter.setFont(font)
        inside = QRectF(self.rect()).adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        for letter, (across, down) in zip(self.letters, _EDGES, strict=False):
            _draw_text(painter, inside, across, down, letter)
        _draw_text(painter, inside, 0, 0, self.number)
        painter.end()

    def _draw_lines(self, painter: QPainter) -> None:
        if (centre := self.centre) is None:
            return
        # Whole pixels keep upright lines sharp.
        centre = QPointF(round(centre.x()) + 0.5, round(centre.y()) + 0.5)
        painter.save()
        painter.setClipRect(self.rect().adjusted(_EDGE, _EDGE, -_EDGE, -_EDGE))
        painter.setPen(QPen(_LINE, 1))
        for row, column in self._lines:
            along = QPointF(column, row) / math.hypot(row, column)
            for way in (-1, 1):
                near, far = way * _GAP, way * (self.width() + self.height())
                painter.drawLine(centre + near * along, centre + far * along)
        painter.restore()


def _draw_text(painter: QPainter, inside: QRectF, across: float, down: float, text: str) -> None:
    """Light letters with a dark rim, to be read on bone too; at parts of width and height."""
    metrics = painter.fontMetrics()
    x = inside.x() + across * (inside.width() - metrics.horizontalAdvance(text))
    y = inside.y() + down * (inside.height() - metrics.height())
    base = QPointF(x, y + metrics.ascent())
    painter.setPen(_SHADE)
    for side in _RIM:
        painter.drawText(base + side, text)
    painter.setPen(_TEXT)
    painter.drawText(base, text)
