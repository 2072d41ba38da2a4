"""Share of the picture that faces cover, where a detector was given.

OpenCV brings the code of YuNet but not its file, so this is offered only where one is configured
(`visual.job.measuring.face_model`); without it face shares stay unknown.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ml.visual.errors import VisualModelUnusable

_SURE = 0.8


class FaceFinder:
    """YuNet from an ONNX file.

    Raises:
        VisualModelUnusable: the file is missing, or is no such detector.
    """

    def __init__(self, path: str) -> None:
        if not Path(path).is_file():
            raise VisualModelUnusable(
                f"face detector: there is no file {path}; set visual.job.measuring.face_model to a YuNet "
                "ONNX file, or to null"
            )
        try:
            self._detector = cv2.FaceDetectorYN.create(path, "", (160, 160), _SURE)
        except cv2.error as error:
            raise VisualModelUnusable(f"face detector: OpenCV cannot use {path}: {error.err}") from error

    def share(self, bgr: np.ndarray) -> float:
        """Share of the picture within the boxes of its faces, overlaps counted once."""
        height, width = bgr.shape[:2]
        self._detector.setInputSize((width, height))
        _, found = self._detector.detect(bgr)
        covered = np.zeros((height, width), bool)
        for left, top, wide, high in [] if found is None else found[:, :4].astype(int):
            covered[max(0, top) : max(0, top + high), max(0, left) : max(0, left + wide)] = True
        return float(covered.mean())
