"""What is being read in one viewer: the study, its result, and the place in it."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Image, Layer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from napari_rsna_inpaint._qt.layers import is_ct, layer_volume
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.volume import CTVolume


class Reading(QObject):
    """The study that the panels of one viewer work on; to be used in the main thread only.

    Signals
    -------
    study_changed
        Another CT is read, or none.
    result_changed
        There is another result, or none any more.
    images_changed
        The images of the result grew by a slice, or a region of them was replaced.
    finding_changed
        Identity of the finding that is looked at, or an empty string.

    Attributes
    ----------
    viewer
        The viewer.
    source
        Layer of the CT, or None.
    detection
        Its result, or None.
    finding
        Identity of the finding that is looked at, or an empty string.
    """

    study_changed = Signal()
    result_changed = Signal()
    images_changed = Signal()
    finding_changed = Signal(str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.source: Image | None = None
        self.detection: Detection | None = None
        self.finding = ""

    @property
    def volume(self) -> CTVolume | None:
        """The series that is read, or None; also once its layer was removed or changed."""
        return layer_volume(self.source) if self.still(self.source) else None

    def still(self, source: Image | None) -> bool:
        """Whether ``source`` is the CT that is read, is open and shows its own values."""
        return (
            source is not None
            and source is self.source
            and source in self.viewer.layers
            and is_ct(source)
        )

    def layer(self, name: str) -> Layer | None:
        """Layer of this study with a name such as ``"Heatmap"``, or None."""
        for layer in self.viewer.layers:
            if layer.name.startswith(name) and layer_volume(layer) is self.volume is not None:
                return layer
        return None

    def read(self, source: Image | None) -> None:
        """Turn to another CT layer; its result is set apart."""
        if source is not self.source:
            self.source, self.detection, self.finding = source, None, ""
            self.study_changed.emit()
            self.result_changed.emit()

    def show(self, detection: Detection | None) -> None:
        """Set the result of the CT that is read."""
        self.detection, self.finding = detection, ""
        self.result_changed.emit()

    def look_at(self, finding: str) -> None:
        """Say which finding is looked at."""
        if finding != self.finding:
            self.finding = finding
            self.finding_changed.emit(finding)

    def go_to(self, voxel: Sequence[float]) -> None:
        """Move all views to a voxel ``(z, y, x)`` of the CT."""
        if self.source is not None:
            self.viewer.dims.set_point(range(3), self.source.data_to_world(voxel))
