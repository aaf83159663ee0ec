"""The stuff of the generated street scenes: sky, ground, facades, fences, trees.

Every surface is a shader: world coordinates of all pixels in, colours and a mask out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pseudogt.datasets.streets.canvas import (
    FAR,
    Camera,
    Canvas,
    Floats,
    Mask,
    find_window,
    jitter_color,
    make_color,
    make_noise,
)
from pseudogt.datasets.streets.labels import BUILDING, FENCE, ROAD, SIDEWALK, SKY, STATIC, VEGETATION

Rng = np.random.Generator

HIGHEST_ROOF = 32.0
"""Metres; no wall is higher."""

WALL_COLORS = ((168, 84, 62), (196, 176, 140), (150, 150, 155), (205, 196, 180), (120, 96, 84), (178, 150, 112))
LEAF_COLORS = ((52, 92, 34), (74, 108, 40), (38, 76, 40), (110, 116, 44))
SKY_COLORS = {  # colour at the top of the image, colour at the horizon
    "sun": ((70, 128, 206), (176, 208, 236)),
    "overcast": ((172, 178, 186), (206, 210, 214)),
    "dusk": ((66, 72, 122), (236, 158, 106)),
    "fog": ((196, 200, 204), (212, 214, 216)),
    "rain": ((120, 128, 138), (164, 170, 176)),
}


def paint_sky(canvas: Canvas, camera: Camera, rng: Rng, weather: str) -> None:
    """Paint a gradient and clouds over the whole canvas."""
    top, bottom = (jitter_color(rng, c, 8) for c in SKY_COLORS[weather])
    # Gradient from the top of the image to the horizon.
    share = np.clip(camera.rows / camera.horizon, 0, 1)[..., None]
    rgb = top + share * (bottom - top)
    shape = canvas.label.shape
    clouds = make_noise(rng, shape, shape[0] / 3) + 0.5 * make_noise(rng, shape, shape[0] / 9)
    cover = np.clip(clouds * 0.5 + rng.uniform(-0.6, 0.3), 0, 0.85)[..., None]
    if weather == "fog":
        cover *= 0.2
    canvas.paint(np.ones(shape, bool), rgb + cover * (make_color(238, 238, 240) * share.max() - rgb) * 0.8, SKY, FAR)


@dataclass(frozen=True)
class Ground:
    """Road and sidewalk in metres: bands along the street and one across at its end.

    ``across``: the camera looks over the street instead of along it. ``paved``: pedestrians only, slabs
    take the place of the road. ``grass``: what is neither road nor sidewalk is grass, else slabs too.
    """

    road_left: float
    road_right: float
    walk_left: float
    walk_right: float
    crossing_z: float
    across: bool
    paved: bool
    grass: bool

    def road(self, x: Floats, z: Floats) -> Mask:
        """Ground points on the carriageway."""
        if self.paved:
            return np.zeros(z.shape, bool)
        if self.across:
            return z < self.crossing_z
        # The street ends in another one that crosses it.
        crossing = (z > self.crossing_z) & (z < self.crossing_z + 6)
        return ((x > self.road_left) & (x < self.road_right) & (z < self.crossing_z + 6)) | crossing

    def sidewalk(self, x: Floats, z: Floats) -> Mask:
        """Ground points on a sidewalk, the road included."""
        if not self.grass:
            return np.ones(z.shape, bool)
        if self.across:
            return z < self.crossing_z + self.walk_right
        near = (x > self.road_left - self.walk_left) & (x < self.road_right + self.walk_right)
        return near & (self.walk_left + self.walk_right > 0) & (z < self.crossing_z + 8)


def paint_ground(canvas: Canvas, camera: Camera, rng: Rng, ground: Ground, weather: str) -> None:
    """Paint grass everywhere below the horizon, then sidewalk, then road with its markings."""
    x, z = camera.ground
    below = camera.rows > camera.horizon + 0.5
    canvas.paint(below, shade_leaves(rng, canvas.label.shape, jitter_color(rng, (84, 112, 50), 10)), VEGETATION, z)
    walk = below & ground.sidewalk(x, z)
    canvas.paint(walk, shade_paving(rng, x, z), SIDEWALK, z)
    road = below & ground.road(x, z)
    canvas.paint(road, shade_asphalt(rng, x, z, ground, weather == "rain"), ROAD, z)
    # The kerb: pixels of the sidewalk at the border of the road.
    edge = cv2.morphologyEx(road.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(bool)
    canvas.rgb[edge & walk] = canvas.rgb[edge & walk] * 0.6 + 60


def shade_asphalt(rng: Rng, x: Floats, z: Floats, ground: Ground, wet: bool) -> Floats:
    """Grey with grain, patches, lane lines; wet roads shine."""
    base = jitter_color(rng, (96, 96, 100), 14)
    tone = 5 * make_noise(rng, x.shape, 1) + 6 * make_noise(rng, x.shape, 24)
    tone += np.where(np.abs(make_noise(rng, x.shape, 30)) < 0.04, -14, 0)  # cracks
    if wet:
        tone += 26 * np.clip(make_noise(rng, x.shape, 20), 0, 1.5)
    # Dashes along the middle of the road, and solid lines along its edges.
    middle = (ground.road_left + ground.road_right) / 2
    along, offset = (x, z - ground.crossing_z / 2 - 1) if ground.across else (z, x - middle)
    dash = (np.mod(along + rng.uniform(0, 4), 4.0) < 2.2) & (np.abs(offset) < 0.09)
    solid = (np.abs(np.abs(x - middle) - (middle - ground.road_left) + 0.3) < 0.06) & (not ground.across)
    marks = (dash & (rng.random() < 0.8)) | (solid & (rng.random() < 0.5)) | _zebra(rng, x, z, ground)
    return base + tone[..., None] + np.where(marks, 92.0, 0.0).astype(np.float32)[..., None]


def _zebra(rng: Rng, x: Floats, z: Floats, ground: Ground) -> Mask:
    if ground.across or rng.random() > 0.3:
        return np.zeros(x.shape, bool)
    start = rng.uniform(4, 9)
    return (z > start) & (z < start + 2.5) & (np.mod(x, 1.0) < 0.5)


def shade_paving(rng: Rng, x: Floats, z: Floats) -> Floats:
    """Light slabs with joints."""
    base = jitter_color(rng, (162, 150, 140), 12)
    size = rng.uniform(0.5, 0.9)
    # Joints widen with distance to stay visible; each slab has a pseudo-random tone, which fades with distance.
    joints = (np.mod(x, size) < 0.07 * (1 + z / 6)) | (np.mod(z, size) < 0.05 * (1 + z / 5))
    slabs = np.sin(np.floor(x / size) * 12.9898 + np.floor(z / size) * 78.233) * np.clip(9 - z * 0.4, 0, 9)
    tone = slabs + 3 * make_noise(rng, x.shape, 1) - np.where(joints, 20, 0) + 5 * make_noise(rng, x.shape, 30)
    return base + tone[..., None].astype(np.float32)


def shade_leaves(rng: Rng, shape: tuple[int, int], color: Floats) -> Floats:
    """Foliage: strong grain of two sizes, lighter where it catches light."""
    grain = 0.24 * make_noise(rng, shape, 3) + 0.14 * make_noise(rng, shape, 1) + 0.16 * make_noise(rng, shape, 12)
    return color * np.clip(1 + grain, 0.25, 1.9)[..., None]


def shade_facade(rng: Rng, along: Floats, up: Floats, weather: str, *, tall: bool) -> tuple[Floats, Floats]:
    """Houses in a row: colours ``(H, W, 3)`` and roof height ``(H, W)`` in metres (0 in a gap).

    Tall houses have 6 to 9 storeys and no gaps, others 2 to 5 and a gap here and there.
    """
    breadth = rng.uniform(6, 12)
    # House at each pixel; wall colours, sizes of floors and windows, and heights are drawn once per house.
    house = np.clip(np.floor(along / breadth + 20).astype(int), 0, 39)
    walls = np.stack([jitter_color(rng, WALL_COLORS[i], 16) for i in rng.integers(0, len(WALL_COLORS), 40)])
    floor_m, window_m = rng.uniform((2.7, 1.6), (3.4, 2.6), (40, 2)).astype(np.float32)[house].transpose(2, 0, 1)
    heights = (rng.integers(2, 6, 40) + 4 * tall) * 3.0 + rng.uniform(0.3, 1.2, 40)
    heights *= tall | (rng.random(40) > 0.08)
    # Position across and upwards in the cell of one window, in [0, 1).
    across, upward = np.mod(along, window_m) / window_m, np.mod(up, floor_m) / floor_m
    window = (across > 0.28) & (across < 0.74) & (upward > 0.3) & (upward < 0.8)
    frame = (across > 0.23) & (across < 0.79) & (upward > 0.26) & (upward < 0.84) & ~window
    # A pseudo-random number of each room says whether its window is lit.
    room = np.sin(np.floor(along / window_m) * 37.7 + np.floor(up / floor_m) * 91.3)
    lit = room > (0.2 if weather == "dusk" else 0.97)
    grain = 5 * make_noise(rng, along.shape, 2) + 6 * make_noise(rng, along.shape, 25)
    rgb = walls[house] + (grain - 8 * (np.mod(up, 0.5) < 0.08))[..., None]
    rgb = np.where(frame[..., None], rgb * 0.5 + 96, rgb)
    glass = np.where(lit[..., None], make_color(236, 204, 128), jitter_color(rng, (62, 74, 92), 10))
    rgb = np.where(window[..., None], glass + 16 * upward[..., None], rgb)
    shop = (up < floor_m) & (rng.random(40) < 0.4)[house]
    rgb = np.where((shop & (across > 0.1) & (upward < 0.85))[..., None], jitter_color(rng, (70, 66, 70), 14), rgb)
    return rgb.astype(np.float32), heights[house].astype(np.float32)


def shade_fence(rng: Rng, along: Floats, up: Floats, height: float) -> tuple[Floats, Floats]:
    """Pickets, bars or planks: colours ``(H, W, 3)`` and opacity ``(H, W)``."""
    pitch, share, opacity = ((0.3, 0.6, 0.3), (0.36, 0.35, 0.2), (0.8, 0.93, 0.9))[rng.integers(3)]
    color = jitter_color(rng, ((226, 222, 210), (134, 92, 58), (82, 86, 92))[rng.integers(3)], 10)
    slat = np.mod(along, pitch) < share * pitch
    rail = np.abs(np.mod(up, height * 0.45) - height * 0.2) < 0.06
    post = np.mod(along, 2.4) < 0.14
    solid = slat | rail | post
    rgb = color * np.where(rail | post, 0.85, 1.0)[..., None] + 4 * make_noise(rng, along.shape, 2)[..., None]
    return rgb.astype(np.float32), np.where(solid, 0.96, opacity).astype(np.float32)


def paint_wall(canvas: Canvas, rng: Rng, kind: str, plane: tuple[Floats, Floats, Floats], weather: str) -> None:
    """Paint a vertical surface: ``houses``, ``towers``, ``hedge`` or ``fence``.

    Parameters
    ----------
    plane
        Position along the wall and height above the ground in metres and depth, each ``(H, W)``;
        depth is not positive where the plane is not seen.
    """
    _, up, depth = plane
    seen = (depth > 0.5) & (depth < 90) & (up > 0) & (up < HIGHEST_ROOF)
    window = find_window(seen)
    if not seen.any():
        return
    canvas, seen = canvas.view(window), seen[window]
    along, up, depth = (values[window] for values in plane)
    if kind in ("houses", "towers"):
        rgb, top = shade_facade(rng, along, up, weather, tall=kind == "towers")
        canvas.paint(seen & (up < top), rgb, BUILDING, depth)
    elif kind == "hedge":
        ragged = rng.uniform(1.2, 2.6) + 0.25 * make_noise(rng, along.shape, 8)
        color = jitter_color(rng, LEAF_COLORS[rng.integers(len(LEAF_COLORS))], 6)
        rgb = shade_leaves(rng, along.shape, color) * np.clip(0.6 + 0.25 * up, 0.5, 1.1)[..., None]
        canvas.paint(seen & (up < ragged), rgb, VEGETATION, depth)
    else:
        height = rng.uniform(1.3, 2.2)
        rgb, alpha = shade_fence(rng, along, up, height)
        canvas.paint(seen & (up < height) & (depth < 45), rgb, FENCE, depth, alpha)


def paint_hills(canvas: Canvas, camera: Camera, rng: Rng) -> None:
    """Paint distant woods along the horizon."""
    outline = make_noise(rng, (1, camera.width), camera.width / 5) + 0.4 * make_noise(rng, (1, camera.width), 9)
    height = camera.focal * (0.05 + 0.03 * outline) * rng.uniform(0.6, 2.0)
    woods = (camera.rows < camera.horizon + 1) & (camera.rows > camera.horizon - np.maximum(height, 2))
    canvas.paint(woods, shade_leaves(rng, canvas.label.shape, jitter_color(rng, (70, 96, 66), 8)), VEGETATION, 80.0)


def paint_tree(canvas: Canvas, camera: Camera, rng: Rng, x: float, z: float) -> None:
    """Paint a trunk and a ragged crown of several balls; all of it is vegetation."""
    (u, top), (_, base) = camera.project([(x, rng.uniform(4.5, 8.5), z), (x, 0, z)])
    size = float(base - top)
    window = find_window((np.abs(camera.columns - u) < 0.7 * size) & (camera.rows < base) & (camera.rows > top - size))
    canvas, right, down = canvas.view(window), camera.columns[window] - u, camera.rows[window] - top
    if not right.size:
        return
    trunk = (np.abs(right) < max(size * 0.03, 1)) & (down > size * 0.5)
    canvas.paint(trunk, jitter_color(rng, (74, 56, 42), 8), VEGETATION, z)
    # The crown is the union of several balls (x, y, radius), its border roughened by noise.
    balls = np.stack([rng.normal(0, 0.14, 7), rng.uniform(0.16, 0.5, 7), rng.uniform(0.14, 0.24, 7)], 1) * size
    distance = np.min([np.hypot(right - u, (down - v) * 1.15) / r for u, v, r in balls.astype(np.float32)], axis=0)
    crown = distance + 0.16 * make_noise(rng, right.shape, max(size / 22, 2)) < 1
    color = jitter_color(rng, LEAF_COLORS[rng.integers(len(LEAF_COLORS))], 8)
    light = np.clip(1.25 - down / size, 0.55, 1.25)
    canvas.paint(crown, shade_leaves(rng, right.shape, color) * light[..., None], VEGETATION, z)


def paint_pole(canvas: Canvas, camera: Camera, rng: Rng, x: float, z: float) -> None:
    """Paint a lamp post or sign: no class of ours, so void."""
    (u, top), (_, base) = camera.project([(x, rng.uniform(2.6, 6), z), (x, 0, z)])
    breadth = max(camera.focal * 0.06 / z, 1)
    pole = (np.abs(camera.columns - u) < breadth) & (camera.rows < base) & (camera.rows > top)
    if rng.random() < 0.6:
        pole |= np.hypot(camera.columns - u, camera.rows - top) < breadth * 3.5
    canvas.paint(pole, jitter_color(rng, (92, 94, 98), 20), STATIC, z)
