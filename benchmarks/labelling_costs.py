"""What each form of label costs on a dataset, counted from its ground truth; nothing is trained.

    python benchmarks/labelling_costs.py --dataset camvid-imagenet --data DIR

writes docs/results/labelling/<dataset>.json, to be committed: how often each act is done for an average training image
of the config's own split, for every form that makes sense but the mixtures. ``labelling.py --page`` takes from it the
seconds of what is not measured yet.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from labelling_forms import (
    DATASETS,
    FIRST_FORMS,
    NO_LABELS,
    WEAK_FORMS,
    Dataset,
    Form,
    find_reason,
    read_classes,
)
from measurement import describe_commit
from mixed import spread_images
from tqdm import tqdm
from workflow_runs import merge_files

from pseudogt.checking.labelling import MEASURED
from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.datasets import list_images
from pseudogt.datasets.ground_truth import choose_masks, read_panoptic
from pseudogt.files.io import write_json
from pseudogt.weak_labels.acts import count_acts, count_full_acts
from pseudogt.weak_labels.from_masks import derive_weak_labels


def main() -> None:
    """Count the acts of one dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=sorted(DATASETS), required=True)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--results", type=Path, default=MEASURED, help="folder to write to")
    arguments = parser.parse_args()
    counted = count_dataset(DATASETS[arguments.dataset], arguments.data)
    write_json(arguments.results / f"{arguments.dataset}.json", counted | {"commit": describe_commit()})


def count_dataset(dataset: Dataset, data: Path) -> dict[str, Any]:
    """Number of training images, and the mean acts of each form over them."""
    settings = DatasetSettings.model_validate(merge_files([dataset.config])["dataset"])
    classes = read_classes(dataset.config)
    images = list_images(settings, data)
    image_ids = images.ids["train"]
    forms = [form for form in FIRST_FORMS if find_reason(form, classes) is None]
    full = {form: set(spread_images(image_ids, form.full_percent / 100, seed=0)) for form in forms}
    acts: dict[str, Counter[str]] = {form.name: Counter() for form in forms}
    for image_id in tqdm(image_ids, desc="labelling costs", unit="image", mininterval=5):
        files = choose_masks(images.locate(image_id), settings)
        panoptic_id, crowd_ids = read_panoptic(files, settings, classes)
        for form in forms:
            if form.weak:
                acts[form.name] += count_weak(image_id, panoptic_id, crowd_ids, classes, form)
            elif image_id in full[form]:
                acts[form.name] += count_full_acts(list_segments(panoptic_id, classes), len(classes), dataset.outline)
    means = {name: {a: round(n / len(image_ids), 4) for a, n in sorted(each.items())} for name, each in acts.items()}
    return {"images": len(image_ids), "acts": means}


def count_weak(
    image_id: str, panoptic_id: np.ndarray, crowd_ids: list[int], classes: ClassTable, form: Form
) -> Counter[str]:
    """Acts that give the weak labels of one image."""
    section = WeakLabelsSettings.model_validate(NO_LABELS | WEAK_FORMS[form.weak])
    return count_acts(derive_weak_labels(image_id, panoptic_id, crowd_ids, classes, section))


def list_segments(panoptic_id: np.ndarray, classes: ClassTable) -> list[int]:
    """Train id of each segment."""
    ids = np.unique(panoptic_id)
    return [int(classes.category_to_train[i // INSTANCE_DIVISOR]) for i in ids[ids != VOID].tolist()]


if __name__ == "__main__":
    main()
