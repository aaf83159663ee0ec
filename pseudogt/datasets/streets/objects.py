"""The things of the generated street scenes: cars, persons and bicycles as flat sprites."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pseudogt.datasets.streets.canvas import Camera, Canvas, Floats, Sprite, jitter_color, make_color, make_noise
from pseudogt.datasets.streets.labels import BICYCLE, CAR, PERSON

Rng = np.random.Generator
Points = Sequence[tuple[float, float]]

CAR_COLORS = (
    (178, 30, 34),
    (34, 60, 130),
    (228, 228, 226),
    (40, 42, 46),
    (148, 152, 158),
    (24, 92, 84),
    (196, 160, 52),
)
BICYCLE_COLORS = ((196, 34, 40), (30, 92, 178), (28, 30, 34), (222, 186, 40), (40, 134, 80))
GLASS, RUBBER, CHROME = (38, 46, 58), (24, 24, 26), (150, 154, 160)
CAR_SIZE = (1.8, 1.5, 4.2)  # breadth, height, length in metres
BICYCLE_SIZE = (1.75, 1.15)  # length, height in metres


class Drawing:
    """Polygons drawn in unit coordinates (x to the right, y down) on a patch."""

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        self.rgb = np.zeros((height, width, 3), np.float32)
        self.alpha = np.zeros((height, width), np.float32)

    def polygon(self, points: Points, color: Sequence[float] | Floats) -> None:
        """Fill a polygon."""
        corners = np.round(np.array(points) * self.size[::-1]).astype(np.int32)
        cv2.fillPoly(self.rgb, [corners], [float(c) for c in color])
        cv2.fillPoly(self.alpha, [corners], 1.0)

    def disc(self, center: tuple[float, float], radii: tuple[float, float], color: Sequence[float] | Floats) -> None:
        """Fill an ellipse."""
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        x, y = center[0] + radii[0] * np.cos(angle), center[1] + radii[1] * np.sin(angle)
        self.polygon(list(zip(x, y, strict=True)), color)

    def stroke(self, points: Points, width: float, color: Sequence[float] | Floats) -> None:
        """Draw a line; ``width`` in parts of the patch's height."""
        corners = np.round(np.array(points) * self.size[::-1]).astype(np.int32)
        thickness = max(round(width * self.size[0]), 1)
        cv2.polylines(self.rgb, [corners], False, [float(c) for c in color], thickness)
        cv2.polylines(self.alpha, [corners], False, 1.0, thickness)

    def finish(self, rng: Rng) -> Sprite:
        """Return the drawing with grain and light from above."""
        light = np.linspace(1.12, 0.82, self.size[0], dtype=np.float32)[:, None]
        light = light + 0.05 * make_noise(rng, self.size, 5)
        return Sprite((self.rgb * light[..., None]).astype(np.float32), self.alpha)


def draw_car_end(rng: Rng, color: Floats, *, rear: bool) -> Sprite:
    """Draw a car from behind or from the front."""
    art = Drawing(80, 96)
    # Wheels, cabin, window with a reflection, body, bumper, lamps, plate: each part covers those before it.
    for x in (0.05, 0.77):
        art.polygon([(x, 0.75), (x + 0.18, 0.75), (x + 0.18, 1), (x, 1)], RUBBER)
    art.polygon([(0.05, 0.05), (0.1, 0), (0.9, 0), (0.95, 0.05), (0.99, 0.46), (0.01, 0.46)], color * 0.9)
    art.polygon([(0.15, 0.1), (0.85, 0.1), (0.9, 0.42), (0.1, 0.42)], GLASS)
    art.polygon([(0.25, 0.12), (0.45, 0.12), (0.32, 0.4), (0.2, 0.4)], (88, 100, 116))
    art.polygon([(0.02, 0.5), (0.08, 0.42), (0.92, 0.42), (0.98, 0.5), (1, 0.88), (0, 0.88)], color)
    art.polygon([(0, 0.76), (1, 0.76), (0.98, 0.9), (0.02, 0.9)], color * 0.55)
    lamp = (214, 36, 30) if rear else (250, 244, 214)
    for x in (0.03, 0.79):
        art.polygon([(x, 0.5), (x + 0.18, 0.5), (x + 0.18, 0.63), (x, 0.63)], lamp)
    art.polygon([(0.38, 0.66), (0.62, 0.66), (0.62, 0.75), (0.38, 0.75)], (222, 220, 206))
    return art.finish(rng)


def draw_car_side(rng: Rng, color: Floats, *, tail: float) -> Sprite:
    """Draw a car from its left side, front to the right; ``tail`` is the length of its slanted back (0: upright)."""
    art = Drawing(80, 220)
    hood = rng.uniform(0.66, 0.74)
    # Cabin with two windows, body, sill, seams of the doors, lamps, wheels: each part covers those before it.
    roof = [(tail + 0.02, 0.03), (tail + 0.08, 0), (hood - 0.12, 0), (hood - 0.04, 0.06)]
    art.polygon([(tail * 0.6, 0.42), *roof, (hood + 0.08, 0.44)], color)
    art.polygon([(tail * 0.7 + 0.04, 0.4), (tail + 0.06, 0.09), (0.44, 0.09), (0.44, 0.4)], GLASS)
    art.polygon([(0.47, 0.4), (0.47, 0.09), (hood - 0.07, 0.09), (hood + 0.02, 0.4)], GLASS)
    art.polygon([(0, 0.5), (0.04, 0.42), (0.8, 0.4), (0.96, 0.5), (1, 0.62), (1, 0.84), (0, 0.84)], color)
    art.polygon([(0, 0.74), (1, 0.74), (1, 0.86), (0, 0.86)], color * 0.6)
    for x in (0.455, hood + 0.03):
        art.stroke([(x, 0.42), (x, 0.76)], 0.02, color * 0.6)
    art.polygon([(0, 0.48), (0.035, 0.48), (0.035, 0.6), (0, 0.6)], (206, 40, 34))
    art.polygon([(0.955, 0.53), (1, 0.56), (1, 0.66), (0.955, 0.62)], (250, 244, 214))
    for x in (0.19, 0.8):
        art.disc((x, 0.8), (0.085, 0.2), RUBBER)
        art.disc((x, 0.8), (0.05, 0.11), CHROME)
    return art.finish(rng)


def draw_person(rng: Rng) -> Sprite:
    """Draw a standing or walking person."""
    art = Drawing(140, 60)
    coat = make_color(*rng.uniform(20, 215, 3)) * rng.uniform(0.6, 1)
    trousers = make_color(*rng.uniform(6, 65, 3)) + make_color(30, 32, 44)
    skin, hair = jitter_color(rng, (196, 150, 122), 22), jitter_color(rng, (60, 44, 34), 20)
    stride, arm = rng.uniform(0, 0.24), rng.uniform(0.02, 0.12)
    for side in (-1, 1):
        foot = 0.5 + side * (0.09 + stride / 2)
        art.stroke([(0.5 + side * 0.08, 0.52), (foot, 0.95)], 0.075, trousers)
        art.stroke([(foot - 0.04, 0.97), (foot + 0.08, 0.97)], 0.04, RUBBER)
        art.stroke([(0.5 + side * 0.2, 0.24), (0.5 + side * (0.26 + arm), 0.52)], 0.05, coat * 0.85)
    art.polygon([(0.28, 0.22), (0.38, 0.17), (0.62, 0.17), (0.72, 0.22), (0.68, 0.56), (0.32, 0.56)], coat)
    if rng.random() < 0.4:  # a bag on the back
        x = 0.24 if rng.random() < 0.5 else 0.6
        art.polygon([(x, 0.26), (x + 0.17, 0.26), (x + 0.17, 0.46), (x, 0.46)], jitter_color(rng, (90, 60, 60), 40))
    art.disc((0.5, 0.09), (0.15, 0.08), skin)
    art.polygon([(0.34, 0.08), (0.4, 0.01), (0.6, 0.01), (0.66, 0.08), (0.6, 0.05), (0.4, 0.05)], hair)
    return art.finish(rng)


def draw_bicycle(rng: Rng) -> Sprite:
    """Draw a bicycle from the side; one sees through its wheels, its label covers them."""
    art = Drawing(100, 150)
    paint = make_color(*BICYCLE_COLORS[rng.integers(len(BICYCLE_COLORS))])
    wheels, radii = ((0.22, 0.68), (0.78, 0.68)), (0.205, 0.305)
    # Wheels and frame as areas, whose alpha is kept as just opaque enough for the label.
    for center in wheels:
        art.disc(center, radii, (120, 122, 124))
    frame: Points = [(0.22, 0.68), (0.4, 0.32), (0.66, 0.3), (0.48, 0.7), (0.22, 0.68)]
    art.polygon(frame, (120, 122, 124))
    see_through = art.alpha * 0.56
    # Now the opaque parts: tyres, spokes, frame, handlebar, saddle.
    art.alpha[:] = 0
    for center in wheels:
        angle = np.linspace(0, 2 * np.pi, 28)
        rim = [(center[0] + radii[0] * np.cos(a), center[1] + radii[1] * np.sin(a)) for a in angle]
        art.stroke(rim, 0.075, RUBBER)
        for a in rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3:
            spoke = radii[0] * np.cos(a), radii[1] * np.sin(a)
            ends = [(center[0] - spoke[0], center[1] - spoke[1]), (center[0] + spoke[0], center[1] + spoke[1])]
            art.stroke(ends, 0.02, CHROME)
    art.stroke([*frame, (0.48, 0.7), (0.37, 0.22)], 0.065, paint)
    art.stroke([(0.78, 0.68), (0.66, 0.3), (0.64, 0.12), (0.74, 0.08)], 0.06, paint)
    art.stroke([(0.28, 0.2), (0.45, 0.2)], 0.08, RUBBER)
    art.alpha = np.maximum(art.alpha, see_through)
    return art.finish(rng)


def place_car(canvas: Canvas, camera: Camera, rng: Rng, instance: int, x: float, z: float, *, across: bool) -> None:
    """Place a car whose near end stands at (x, z): seen from the side if ``across``, else as a box from one end."""
    breadth, height, length = (m * rng.uniform(0.92, 1.1) for m in CAR_SIZE)
    color = jitter_color(rng, CAR_COLORS[rng.integers(len(CAR_COLORS))], 10)
    side = draw_car_side(rng, color, tail=0.22 if across else 0.0)
    span = length if across else breadth
    quad = _upright(camera, x, z, span, height)
    _cast_shadow(canvas, quad, 0.45)
    if across:
        canvas.paste(side if rng.random() < 0.5 else _mirror(side), quad, CAR, instance, z)
        return
    # The side towards the middle of the street is seen unless the car is straight ahead: near end to far end.
    inner = x - np.sign(x) * breadth / 2
    if abs(inner) > 0.3 and inner * x > 0:
        corners = [(inner, height, z), (inner, height, z + length), (inner, 0, z + length), (inner, 0, z)]
        canvas.paste(side, camera.project(corners), CAR, instance, z)
    canvas.paste(draw_car_end(rng, color, rear=bool(rng.random() < 0.6)), quad, CAR, instance, z)


def place_person(canvas: Canvas, camera: Camera, rng: Rng, instance: int, x: float, z: float) -> None:
    """Place a person standing at (x, z)."""
    height = rng.uniform(1.5, 1.95)
    quad = _upright(camera, x, z, 0.43 * height, height)
    _cast_shadow(canvas, quad, 0.3)
    sprite = draw_person(rng)
    canvas.paste(sprite if rng.random() < 0.5 else _mirror(sprite), quad, PERSON, instance, z)


def place_bicycle(canvas: Canvas, camera: Camera, rng: Rng, instance: int, x: float, z: float) -> None:
    """Place a bicycle at (x, z), seen from the side."""
    length, height = BICYCLE_SIZE
    quad = _upright(camera, x, z, length * rng.uniform(0.75, 1), height)
    _cast_shadow(canvas, quad, 0.25)
    sprite = draw_bicycle(rng)
    canvas.paste(sprite if rng.random() < 0.5 else _mirror(sprite), quad, BICYCLE, instance, z)


def _upright(camera: Camera, x: float, z: float, breadth: float, height: float) -> Floats:
    left, right = x - breadth / 2, x + breadth / 2
    return camera.project([(left, height, z), (right, height, z), (right, 0, z), (left, 0, z)])


def _cast_shadow(canvas: Canvas, quad: Floats, strength: float) -> None:
    half = (quad[2, 0] - quad[3, 0]) / 2
    canvas.darken((quad[2] + quad[3]) / 2, (half * 1.1, half * 0.16), strength)


def _mirror(sprite: Sprite) -> Sprite:
    return Sprite(np.ascontiguousarray(sprite.rgb[:, ::-1]), np.ascontiguousarray(sprite.alpha[:, ::-1]))
