"""Generated street scenes in Cityscapes' own layout: the embedded default, no download needed.

A scene is a function of (seed, split, number) alone. It is painted at twice the final size and
reduced, so that borders mix colours as a lens does.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets.cityscapes import IMAGE_ENDING, IMAGE_FOLDER, LABEL_FOLDER
from pseudogt.datasets.streets.canvas import FAR, Camera, Canvas, Floats, make_color, make_noise
from pseudogt.datasets.streets.kinds import SCENE_LAYOUTS, SceneLayout
from pseudogt.datasets.streets.labels import EGO_VEHICLE, OUT_OF_ROI, THINGS, UNLABELED
from pseudogt.datasets.streets.names import list_street_ids
from pseudogt.datasets.streets.objects import place_bicycle, place_car, place_person
from pseudogt.datasets.streets.surfaces import (
    Ground,
    paint_ground,
    paint_hills,
    paint_pole,
    paint_sky,
    paint_tree,
    paint_wall,
)
from pseudogt.files.images import write_png

Rng = np.random.Generator

SUPERSAMPLING = 2
GROUP = 60_000
"""Instance number of every member of a group while a scene is painted."""

SMALLEST_INSTANCE_PX = 10
"""Visible remains of fewer pixels become void, as annotators leave them out."""

WEATHERS = {"sun": 0.34, "overcast": 0.28, "dusk": 0.14, "fog": 0.12, "rain": 0.12}


def write_street_dataset(folder: Path, settings: StreetsSettings) -> None:
    """Write all scenes below ``folder`` as ``leftImg8bit/`` and ``gtFine/``."""
    for number, (split, image_ids) in enumerate(list_street_ids(settings).items()):
        (folder / IMAGE_FOLDER / split).mkdir(parents=True)
        for index, image_id in enumerate(tqdm(image_ids, desc=f"streets {split}")):
            rgb, label_ids, instance_ids = render_street(settings, (number, index))
            city = image_id.partition("_")[0]
            labels = folder / LABEL_FOLDER / split / city / f"{image_id}_{LABEL_FOLDER}"
            write_png(folder / IMAGE_FOLDER / split / city / f"{image_id}{IMAGE_ENDING}.png", rgb)
            write_png(f"{labels}_labelIds.png", label_ids)
            write_png(f"{labels}_instanceIds.png", instance_ids)


def render_street(
    settings: StreetsSettings, key: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16]]:
    """Render one scene.

    Parameters
    ----------
    settings : StreetsSettings
    key : (int, int)
        Number of the split and of the image in it.

    Returns
    -------
    image : (H, W, 3) uint8 RGB
    label_ids : (H, W) uint8
        Cityscapes label ids.
    instance_ids : (H, W) uint16
        ``label * 1000 + k`` for instances, the bare label for stuff, groups and void.
    """
    rng = np.random.default_rng([settings.seed, *key])
    weather = str(rng.choice(list(WEATHERS), p=list(WEATHERS.values())))
    layout = SCENE_LAYOUTS[str(rng.choice(list(SCENE_LAYOUTS), p=[kind.share for kind in SCENE_LAYOUTS.values()]))]
    # A generator of its own: how often things are left out changes no other draw.
    layout = _leave_out(layout, np.random.default_rng([settings.seed, *key, 1]), settings.missing)
    camera = _choose_camera(rng, settings)
    ground = _choose_ground(rng, layout)
    canvas = Canvas.blank(camera.height, camera.width)
    paint_sky(canvas, camera, rng, weather)
    _paint_surroundings(canvas, camera, rng, layout, ground, weather)
    _place_objects(canvas, camera, rng, layout, ground)
    _paint_void(canvas, camera, rng)
    image = _expose(canvas, camera, rng, weather)
    # Labels can't be averaged, so one pixel of each block of the painted size is taken.
    half = np.s_[SUPERSAMPLING // 2 :: SUPERSAMPLING]
    label_ids, instance_ids = number_instances(canvas.label[half, half], canvas.instance[half, half])
    return image, label_ids, instance_ids


def _leave_out(layout: SceneLayout, rng: Rng, probability: float) -> SceneLayout:
    """Remove all cars, persons or bicycles from a scene, each kind with a probability of its own."""
    stays = rng.random(3) >= probability
    counts = (layout.cars, layout.persons, layout.bicycles)
    cars, persons, bicycles = (each if stay else (0, 0) for each, stay in zip(counts, stays, strict=True))
    return replace(layout, cars=cars, persons=persons, bicycles=bicycles)


def number_instances(
    label: NDArray[np.uint8], instance: NDArray[np.uint16]
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Cityscapes' label and instance ids ``(H, W)`` of painted object numbers (0 = none, ``GROUP`` = group)."""
    label, instance_ids = label.copy(), label.astype(np.uint16)
    for thing in THINGS:
        k = 0
        for number in np.unique(instance[label == thing]):
            pixels = (label == thing) & (instance == number)
            if pixels.sum() < SMALLEST_INSTANCE_PX:
                label[pixels] = instance_ids[pixels] = UNLABELED
            elif number != GROUP:
                instance_ids[pixels] = thing * 1000 + k
                k += 1
    return label, instance_ids


def _choose_camera(rng: Rng, settings: StreetsSettings) -> Camera:
    height, width = settings.height * SUPERSAMPLING, settings.width * SUPERSAMPLING
    return Camera(
        height=height,
        width=width,
        focal=height * rng.uniform(0.85, 1.05),
        horizon=height * rng.uniform(0.34, 0.5),
        vanishing_x=width * rng.uniform(0.32, 0.68),
        eye=rng.uniform(1.35, 1.9),
    )


def _choose_ground(rng: Rng, layout: SceneLayout) -> Ground:
    lane = rng.uniform(2.6, 3.4)
    left, right = rng.uniform(*layout.walk_m, 2) * (rng.random(2) > (0 if layout.across else 0.12))
    return Ground(
        road_left=-lane * rng.choice([0.7, 1.0, 1.5]),
        road_right=lane * rng.choice([0.7, 1.0, 1.5]),
        walk_left=left,
        walk_right=right,
        crossing_z=_choose_crossing(rng, layout),
        across=layout.across,
        paved=not layout.road,
        grass=layout.grass,
    )


def _choose_crossing(rng: Rng, layout: SceneLayout) -> float:
    if layout.across:
        return rng.uniform(5.5, 8.5)
    return rng.uniform(5, 12) if "towers" in layout.ends else rng.uniform(16, 60)


def _paint_surroundings(
    canvas: Canvas, camera: Camera, rng: Rng, layout: SceneLayout, ground: Ground, weather: str
) -> None:
    # Paint from far to near: hills, ground, the end of the street, its sides, trees and posts.
    end = str(rng.choice(layout.ends))
    if end == "hills" or (layout.grass and rng.random() < 0.3):
        paint_hills(canvas, camera, rng)
    paint_ground(canvas, camera, rng, ground, weather)
    end_z = ground.crossing_z + (ground.walk_right + 0.5 if ground.across else 8)
    if ground.across and end != "houses" and rng.random() < 0.5:
        _paint_end(canvas, camera, rng, "houses", end_z + rng.uniform(6, 14), weather)
    if end in ("houses", "towers", "fence", "hedge"):
        _paint_end(canvas, camera, rng, end, end_z, weather)
    left_x = ground.road_left - ground.walk_left - rng.uniform(*layout.setback_m)
    right_x = ground.road_right + ground.walk_right + rng.uniform(*layout.setback_m)
    for x in (left_x, right_x):
        kind = str(rng.choice(layout.sides))
        if kind == "fence" and rng.random() < 0.6:  # something taller behind the fence
            _paint_side(canvas, camera, rng, str(rng.choice(["houses", "hedge"])), x * 1.6, end_z, weather)
        _paint_side(canvas, camera, rng, kind, x, end_z, weather)
    _plant(canvas, camera, rng, layout, ground, (left_x, right_x))


def _paint_side(canvas: Canvas, camera: Camera, rng: Rng, kind: str, x: float, end_z: float, weather: str) -> None:
    if kind == "none":
        return
    start, stop = rng.uniform(0, 9) * (rng.random() < 0.4), end_z * rng.uniform(0.5, 1)
    z, up = camera.side_wall(x)
    paint_wall(canvas, rng, kind, (z, up, np.where((z > start) & (z < stop), z, -1)), weather)


def _paint_end(canvas: Canvas, camera: Camera, rng: Rng, kind: str, z: float, weather: str) -> None:
    x, up = camera.front_wall(z)
    edges = np.array([rng.uniform(-1.9, -0.1), rng.uniform(0.1, 1.9)]) * (z if kind != "towers" else 99)
    visible = (x > edges[0]) & (x < edges[1])
    paint_wall(canvas, rng, kind, (x, up, np.where(visible, z, -1).astype(np.float32)), weather)


def _plant(
    canvas: Canvas, camera: Camera, rng: Rng, layout: SceneLayout, ground: Ground, edges: tuple[float, float]
) -> None:
    """Trees and lamp posts along the street, far ones first."""
    for z in np.sort(rng.uniform(7, 30, rng.integers(*layout.trees, endpoint=True)))[::-1]:
        if ground.across:
            x, z = rng.uniform(-10, 10), ground.crossing_z + ground.walk_right + rng.uniform(-0.6, 3)
        else:
            x = edges[rng.integers(2)] * rng.uniform(0.95, 2.2)
        paint_tree(canvas, camera, rng, float(x), float(z))
    for _ in range(rng.integers(0, 3)):
        x, z = edges[rng.integers(2)] * 0.92, rng.uniform(6, 16)
        paint_pole(canvas, camera, rng, float(x), min(z, ground.crossing_z + 1) if ground.across else z)


def _place_objects(canvas: Canvas, camera: Camera, rng: Rng, layout: SceneLayout, ground: Ground) -> None:
    """All things, far ones first."""
    placed = [("car", *_car_spot(rng, ground)) for _ in range(rng.integers(*layout.cars, endpoint=True))]
    for kind, counts in (("person", layout.persons), ("bicycle", layout.bicycles)):
        placed += [(kind, *_walk_spot(rng, ground)) for _ in range(rng.integers(*counts, endpoint=True))]
    # Some persons and bicycles get a neighbour a little nearer to the camera, which hides part of them.
    placed += [
        (kind, x + rng.uniform(0.35, 0.8), z - 0.3) for kind, x, z in placed if kind != "car" and rng.random() < 0.3
    ]
    spots = [(z, x, kind, number + 1) for number, (kind, x, z) in enumerate(placed)]
    spots += _place_group(rng, layout, ground)
    for z, x, kind, number in sorted(spots, reverse=True):
        _place_one(canvas, camera, rng, kind, number, x, z, across=ground.across)


def _place_one(
    canvas: Canvas, camera: Camera, rng: Rng, kind: str, number: int, x: float, z: float, *, across: bool
) -> None:
    if kind == "car":
        place_car(canvas, camera, rng, number, x, z, across=across)
    elif kind == "person":
        place_person(canvas, camera, rng, number, x, z)
    else:
        place_bicycle(canvas, camera, rng, number, x, z)


def _car_spot(rng: Rng, ground: Ground) -> tuple[float, float]:
    if ground.across:
        return rng.uniform(-8, 8), rng.uniform(0.6, 0.95) * ground.crossing_z
    z = rng.uniform(4.5, 13) if rng.random() < 0.9 else rng.uniform(13, 24)
    parked = rng.random() < 0.45
    edge = ground.road_left + 1.0 if rng.random() < 0.5 else ground.road_right - 1.0
    return (edge, z) if parked else (edge * rng.uniform(0.3, 0.75), z)


def _walk_spot(rng: Rng, ground: Ground) -> tuple[float, float]:
    if ground.across:
        return rng.uniform(-7, 7), ground.crossing_z + rng.uniform(-1.5, 0.8 * ground.walk_right)
    z = rng.uniform(3.4, 8.5)
    if rng.random() < 0.2:  # on the road
        return rng.uniform(ground.road_left, ground.road_right), z
    left = ground.road_left - rng.uniform(0.1, 0.9) * max(ground.walk_left, 0.8)
    right = ground.road_right + rng.uniform(0.1, 0.9) * max(ground.walk_right, 0.8)
    return (left if rng.random() < 0.5 else right), z


def _place_group(rng: Rng, layout: SceneLayout, ground: Ground) -> list[tuple[float, float, str, int]]:
    """Members of a group, too close to tell apart; most scenes have none."""
    kinds = [kind for kind, counts in (("person", layout.persons), ("bicycle", layout.bicycles)) if counts[1]]
    if rng.random() > 0.14 or not kinds:
        return []
    kind = str(rng.choice(kinds))
    x, z = _walk_spot(rng, ground)
    z = max(z, 7.0)
    step = 0.35 if kind == "person" else 0.5
    return [(z + rng.uniform(0, 0.8), x + i * step, kind, GROUP) for i in range(rng.integers(5, 9))]


def _paint_void(canvas: Canvas, camera: Camera, rng: Rng) -> None:
    """Paint the bonnet of the camera's own car, or the black border a lens correction leaves."""
    rows, columns = camera.rows / camera.height, camera.columns / camera.width
    if rng.random() < 0.35:
        # The bonnet lies below a parabola that is highest in the middle of the image.
        bonnet = rows > rng.uniform(0.9, 0.95) + 0.25 * (columns - 0.5) ** 2
        shine = np.clip(1.2 - 4 * (rows - 0.9), 0.5, 1.4)[..., None]
        canvas.rgb[bonnet] = (shine * rng.uniform(30, 110) + make_color(0, 2, 6))[bonnet]
        canvas.mark_void(bonnet, EGO_VEHICLE)
    if rng.random() < 0.2:
        margin = rng.uniform(0.012, 0.03)
        border = (np.minimum(rows, 1 - rows) < margin) | (np.minimum(columns, 1 - columns) < margin / 2)
        canvas.rgb[border] = 4
        canvas.mark_void(border, OUT_OF_ROI)


def _expose(canvas: Canvas, camera: Camera, rng: Rng, weather: str) -> NDArray[np.uint8]:
    """Light, air, lens and sensor: the picture ``(H, W, 3)`` at final size."""
    rgb = canvas.rgb
    if weather == "sun":
        # Shadows of clouds on everything but the sky.
        shade = np.clip(1.5 * make_noise(rng, canvas.label.shape, camera.width / 4) + 1.2, 0, 1)[..., None]
        rgb = rgb * make_color(1.12, 1.06, 0.96) * np.where((canvas.depth < FAR)[..., None], 0.78 + 0.27 * shade, 1)
    elif weather == "dusk":
        rgb = rgb * make_color(0.72, 0.6, 0.62) + make_color(10, 4, 10)
    elif weather == "rain":
        rgb = 0.62 * rgb + 34
    elif weather == "overcast":
        rgb = 0.86 * rgb + 14
    # Haze: a colour fades into that of the air exponentially with its depth.
    haze = {"fog": rng.uniform(14, 30), "rain": 60.0}.get(weather, 220.0)
    thickness = (1 - np.exp(-np.minimum(canvas.depth, 90) / haze))[..., None]
    rgb = rgb + thickness * (make_color(204, 208, 212) * (0.6 if weather in ("dusk", "rain") else 1) - rgb)
    if weather == "rain":
        rgb = rgb + _draw_rain(rng, canvas.label.shape)[..., None]
    # Average down to the final size, then vary the exposure and add noise of the sensor.
    size = (camera.width // SUPERSAMPLING, camera.height // SUPERSAMPLING)
    small = cv2.resize(np.ascontiguousarray(rgb, dtype=np.float32), size, interpolation=cv2.INTER_AREA)
    small = small * rng.uniform(0.85, 1.12) + rng.normal(0, rng.uniform(2, 5), small.shape)
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def _draw_rain(rng: Rng, shape: tuple[int, int]) -> Floats:
    # Sparse drops, smeared downwards and slanted.
    drops = (rng.random(shape) > 0.995).astype(np.float32) * 270
    slant = np.array([[1, 0.15, 0], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(cv2.blur(drops, (1, 13)), slant, shape[::-1]), np.float32)
