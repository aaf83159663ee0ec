"""List the content of a folder: images by subfolder, and files that an annotation reader recognises."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pseudogt.annotations import PARSERS, SAMPLED, get_format, recognise_file
from pseudogt.files.listing import IGNORED_FOLDERS, holds_results, scan_folder
from pseudogt.parsing.contents import describe_missing
from pseudogt.setup.foreign import SUFFIXES


class FoundSource(NamedTuple):
    """Something that a reader can be given.

    Attributes
    ----------
    format : str
        Name in the table of annotation formats.
    path : str
        File, or folder of files, relative to the folder that is surveyed.
    """

    format: str
    path: str


@dataclass
class Survey:
    """Files that were found, with paths relative to the folder.

    Attributes
    ----------
    images : dict
        Folder -> number of images in it.
    sources : list of FoundSource
        Files with annotations, and folders of several.
    tags : list of str
        Files with tags of images.
    unknown : list of str
        Files that might hold annotations, but that no reader recognises.
    """

    images: dict[str, int] = field(default_factory=dict)
    sources: list[FoundSource] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def survey_folder(root: Path) -> Survey:
    """List the images and annotations in a folder and below it.

    Raises
    ------
    ValueError
        If there is no such folder, or two images in one folder have the same name.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: {describe_missing(root, 'folder')}; name the folder that holds your images")
    survey = Survey()
    recognised: dict[str, list[str]] = {}
    for place, folders, files in os.walk(root):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n.lower() not in IGNORED_FOLDERS)
        folder = Path(place)
        if folder != root and holds_results(folder):
            folders.clear()
            continue
        relative = folder.relative_to(root).as_posix()
        if count := len(scan_folder(folder).images):
            survey.images[relative] = count
        visible = sorted(name for name in files if not name.startswith("."))
        for suffix in PARSERS:
            _survey_files(root, [folder / n for n in visible if n.lower().endswith(suffix)], survey, recognised)
        survey.unknown += [
            (folder / n).relative_to(root).as_posix() for n in visible if Path(n).suffix.lower() in SUFFIXES
        ]
    survey.sources += [
        FoundSource(name, path) for name, paths in recognised.items() for path in _add_common_folders(paths)
    ]
    return survey


def _survey_files(root: Path, files: list[Path], survey: Survey, recognised: dict[str, list[str]]) -> None:
    """Find the formats of the files of one suffix in one folder."""
    for number, path in enumerate(files):
        found = recognise_file(path)
        relative = path.relative_to(root).as_posix()
        if found is None:
            survey.unknown.append(relative)
        elif found == "":
            survey.tags.append(relative)
        elif not get_format(found).PER_IMAGE:
            recognised.setdefault(found, []).append(relative)
        else:
            folder = path.parent.relative_to(root).as_posix()
            paths = recognised.setdefault(found, [])
            if folder not in paths:
                paths.append(folder)
            # The others of the folder are of other images.
            if number + 1 >= SAMPLED:
                return


def _add_common_folders(paths: list[str]) -> Iterable[str]:
    """Paths, and the folders in which several of them lie: an export may be of several files."""
    counts = Counter(parent.as_posix() for path in paths for parent in Path(path).parents)
    shared = {folder for folder, count in counts.items() if count > 1}
    return [*paths, *sorted(shared - set(paths), key=lambda folder: (-folder.count("/"), folder))]
