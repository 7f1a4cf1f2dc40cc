"""Report the Qt binding and OpenGL as JSON: ``python -m napari_seg.gui.probe``."""

from __future__ import annotations

import json
import sys

import qtpy
from qtpy.QtCore import qVersion
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext


def probe() -> dict[str, str]:
    """Open an invisible OpenGL surface and describe what draws on it.

    Returns
    -------
    dict of str
        Keys "binding", "platform", "opengl" and "renderer".
    """
    app = QGuiApplication.instance() or QGuiApplication(sys.argv[:1])
    found = {
        "binding": f"{qtpy.API_NAME} {qtpy.PYQT_VERSION or qtpy.PYSIDE_VERSION}, "
        f"Qt {qVersion()}",
        "platform": app.platformName(),
    }
    surface = QOffscreenSurface()
    surface.create()
    context = QOpenGLContext()
    if not context.create() or not context.makeCurrent(surface):
        return {**found, "opengl": "none", "renderer": "none"}
    # napari draws with vispy, which binds OpenGL itself: ask the way it asks
    from vispy.gloo import gl

    found["opengl"] = str(gl.glGetParameter(gl.GL_VERSION))
    found["renderer"] = str(gl.glGetParameter(gl.GL_RENDERER))
    context.doneCurrent()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()) + "\n")
