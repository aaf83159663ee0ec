from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_missing_libgl_names_both_remedies(tmp_path):
    """A machine without libGL: an OpenCV that fails as the real one does there."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    root = Path(__file__).resolve().parents[2]
    command = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; import pseudogt.stages"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt-get install libgl1" in done.stderr
    assert "opencv-python-headless" in done.stderr
    assert "Traceback" not in done.stderr
