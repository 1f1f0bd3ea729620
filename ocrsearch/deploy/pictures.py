"""Pictures as parts of a page."""

from __future__ import annotations

import base64

import cv2
import numpy as np


def png_url(image: np.ndarray) -> str:
    """Return a picture, (H, W) or (H, W, 4: BGRA) uint8, as the address of an embedded PNG."""
    _, encoded = cv2.imencode(".png", image)
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
