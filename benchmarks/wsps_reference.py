"""Times the WSPS authors' code under Octave, on one image in their layout.

Their functions are called as their own main script calls them: ``get_opts``, ``run_sub`` (which
reads list, palette and names), ``load_data``, and then, timed, ``clean_label`` and
``ins_box_process``. What MATLAB has and Octave lacks is added in the driver's folder.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from pseudogt.wsps.palette import CLASS_NAMES, make_palette
from pseudogt.wsps.tree import Tree

SHIMS = {
    "datetime": """
function text = datetime(varargin)
  text = datestr(now);
end
""",
    "extractfield": """
function values = extractfield(array, field)
  values = {array.(field)};
  if all(cellfun(@(v) isnumeric(v) || islogical(v), values))
    values = cellfun(@(v) double(v(:)'), values, 'UniformOutput', false);
    values = [values{:}];
  end
end
""",
    "importdata": """
function lines = importdata(path)
  lines = strsplit(strtrim(fileread(path)), "\\n")';
end
""",
    "poly2mask": """
function mask = poly2mask(x, y, height, width)
  % Rectangles through pixel centres: MATLAB leaves out their top row and left column.
  mask = false(height, width);
  rows = max(min(y) + 1, 1):min(max(y), height);
  columns = max(min(x) + 1, 1):min(max(x), width);
  mask(rows, columns) = true;
end
""",
}

DRIVER = """
warning('off', 'all');
addpath(genpath(getenv('REFERENCE')));
addpath(getenv('SHIMS'));
work = getenv('WORK');
given = load(fullfile(work, 'given.mat'));
opts = get_opts('cityscapes', 'train');
fields = fieldnames(given);
for i = 1:numel(fields)
  opts.(fields{i}) = given.(fields{i});
end
switches = {'save_sem', 'save_ins', 'visualise_results', 'run_score_thresh'};
for i = 1:numel(switches)
  opts.(switches{i}) = logical(opts.(switches{i}));
end
opts = run_sub(opts);
loaded = load_data(opts, 1);
seconds = zeros(1, str2double(getenv('ROUNDS')));
for i = 1:numel(seconds)
  start = tic;
  cleaned = clean_label(opts, loaded);
  ins_pred = ins_box_process(cleaned.final_pred, cleaned.gt_bboxes, opts.ignore_label);
  seconds(i) = toc(start);
end
final_pred = cleaned.final_pred;
save('-v7', fullfile(work, 'measured.mat'), 'seconds', 'final_pred', 'ins_pred');
"""


class OctaveError(Exception):
    """The authors' code did not run through."""


def find_octave() -> str | None:
    """Path of Octave without its windows, if it is installed."""
    return shutil.which("octave-cli") or shutil.which("octave")


def run_reference(
    reference: Path, tree: Tree, image_id: str, rounds: int
) -> tuple[float, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Median seconds of computing one image of the tree, and its semantic and instance label."""
    octave = find_octave()
    if octave is None:
        raise OctaveError("Octave is not installed")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "shims").mkdir()
        for function, text in SHIMS.items():
            (work / "shims" / f"{function}.m").write_text(text)
        (work / "driver.m").write_text(DRIVER)
        write_settings(work, tree, image_id)
        places = {"REFERENCE": reference.resolve(), "SHIMS": work / "shims", "WORK": work, "ROUNDS": rounds}
        done = subprocess.run(
            [octave, "--no-init-file", "--quiet", str(work / "driver.m")],
            env=os.environ | {key: str(value) for key, value in places.items()},
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not (work / "measured.mat").is_file():
            raise OctaveError(f"the authors' code failed under Octave: {done.stderr.strip() or done.stdout.strip()}")
        measured = loadmat(work / "measured.mat")
    return statistics.median(measured["seconds"].ravel().tolist()), (measured["final_pred"], measured["ins_pred"])


def write_settings(work: Path, tree: Tree, image_id: str) -> None:
    """Write the options that differ from the authors' defaults, and the palette and names that they name."""
    options = tree.options
    (work / "list.txt").write_text(f"{image_id}\n")
    savemat(work / "colormapcs.mat", {"cmap": make_palette() / 255})
    savemat(work / "objectName19.mat", {"objectNames": np.array(CLASS_NAMES, object)[:, None]})
    list_path = os.path.relpath(work / "list.txt", tree.data)
    given = {
        "data_root": str(tree.data.resolve()),
        "pred_root": str(tree.results.resolve()),
        "list_path": list_path,
        "colormap_path": str(work / "colormapcs.mat"),
        "objectNames_path": str(work / "objectName19.mat"),
        "canvas_size": np.array(options.canvas_size, float),
        "schk_crop_size": np.array(options.schk_crop_size, float),
        "force_overwrite": 1.0,
        "save_sem": 0.0,
        "save_ins": 0.0,
        "visualise_results": 0.0,
        "run_score_thresh": float(options.run_score_thresh),
    }
    savemat(work / "given.mat", given)
