"""What was learned from verdicts: shown with its effect, applied only when it is switched on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QObject, QTimer, Signal

from napari_rsna_inpaint._qt.findings_panel import FindingsPanel
from napari_rsna_inpaint._qt.worker import Errand, Job, Report
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.learning.annotated import Annotated
from napari_rsna_inpaint.learning.apply import Rescoring, rescored
from napari_rsna_inpaint.learning.effect import Effect, cross_validated
from napari_rsna_inpaint.learning.model import LearnedRescorer, fit
from napari_rsna_inpaint.store import Store

#: Verdicts come in a row: learning waits until the reader pauses so long.
_PAUSE_MS = 3000


class LearningSwitch(QObject):
    """Learns in the background from all verdicts of a store, and keeps whether it is used.

    Signals
    -------
    changed
        Findings have to be listed anew.
    """

    changed = Signal()

    def __init__(self, panel: FindingsPanel, owner: QObject) -> None:
        super().__init__(owner)
        self._panel = panel
        self._store: Store | None = None
        self._key = ""
        self._model: LearnedRescorer | None = None
        self._on = False
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._learn)
        panel.learned_wanted.connect(self._switch)

    def use(self, store: Store, reader: str) -> None:
        """Learn from the verdicts of a store; the switch is as this reader left it."""
        if store is not self._store:
            self._store, self._key = store, f"learned:{reader}"
            self._on = bool(store.setting(self._key))
            self._learn()

    def learn_soon(self) -> None:
        """Take in what was decided, once the reader pauses."""
        self._pause.start()

    def rescoring(
        self, detection: Detection, features: Mapping[str, Sequence[float]]
    ) -> Rescoring | None:
        """Corrected scores of a result, or None while the switch is off."""
        known = all(one.id in features for one in (*detection.findings, *detection.further))
        if self._model is None or not self._on or not known:
            return None
        return rescored(detection, features, self._model)

    def _learn(self) -> None:
        store = self._store
        if store is None:
            return

        def compute(
            _report: Report, _cancelled: Callable[[], bool]
        ) -> tuple[LearnedRescorer | None, Effect | str]:
            rows = [
                Annotated(one.study, one.finding, one.features, one.verdict, one.reason)
                for one in store.annotated()
            ]
            return fit(rows), cross_validated(rows)

        Errand(self, Job("learning from verdicts", compute), self._take, self._complain)

    def _take(self, learned: tuple[LearnedRescorer | None, Effect | str]) -> None:
        self._model, effect = learned
        sentence = effect if isinstance(effect, str) else effect.sentence
        self._panel.show_effect(
            sentence, available=self._model is not None, on=self._on and self._model is not None
        )
        if self._on:
            self.changed.emit()

    def _complain(self, error: RsnaInpaintError) -> None:
        self._panel.show_effect(str(error), available=False, on=False)

    def _switch(self, on: bool) -> None:
        self._on = on
        if self._store is not None:
            try:
                self._store.set_setting(self._key, on)
            except RsnaInpaintError as error:
                self._panel.show_effect(str(error), available=True, on=on)
        self.changed.emit()
