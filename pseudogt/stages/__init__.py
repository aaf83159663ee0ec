"""The stages of the workflow, one module each, run as ``python -m pseudogt.stages.<stage>``."""


def _require_opencv() -> None:
    """Explain the one import that fails on many fresh machines."""
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        if "libGL" not in str(error):
            raise
        raise SystemExit(
            f"error: OpenCV can't be loaded ({error}). Either install the system library (Debian and Ubuntu: "
            "apt-get install libgl1) or replace the package by the one without windows: "
            "pip uninstall opencv-python && pip install --force-reinstall opencv-python-headless"
        ) from error


_require_opencv()
