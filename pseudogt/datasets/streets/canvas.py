"""Camera, canvas and noise of the generated street scenes.

World coordinates are metres: x to the right, y up from the ground, z away from the camera. Colours
are ``float32`` RGB in 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.datasets.streets.labels import SKY, UNLABELED

FAR = 400.0
"""Depth of the sky in metres."""

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along z; lengths in pixels, its height in metres."""

    height: int
    width: int
    focal: float
    horizon: float
    vanishing_x: float
    eye: float

    @cached_property
    def rows(self) -> Floats:
        """Row number of every pixel ``(H, W)``."""
        return np.repeat(np.arange(self.height, dtype=np.float32)[:, None] + 0.5, self.width, axis=1)

    @cached_property
    def columns(self) -> Floats:
        """Column number of every pixel ``(H, W)``."""
        return np.repeat(np.arange(self.width, dtype=np.float32)[None] + 0.5, self.height, axis=0)

    @cached_property
    def ground(self) -> tuple[Floats, Floats]:
        """World x and z ``(H, W)`` of the ground seen at each pixel; z is ``FAR`` above the horizon."""
        # Rows below the horizon, not fewer than those of a point at depth FAR.
        below = np.maximum(self.rows - self.horizon, np.float32(self.focal * self.eye / FAR))
        z = self.focal * self.eye / below
        return (self.columns - self.vanishing_x) * z / self.focal, z

    def project(self, points: ArrayLike) -> Floats:
        """Pixels ``(N, 2)`` as (column, row) of world points ``(N, 3)``."""
        x, y, z = np.asarray(points, np.float32).T
        # Pinhole projection: the offset from the vanishing point is focal length times lateral distance over depth.
        columns = self.vanishing_x + self.focal * x / z
        rows = self.horizon + self.focal * (self.eye - y) / z
        return np.stack([columns, rows], axis=1)

    def side_wall(self, x: float) -> tuple[Floats, Floats]:
        """World z and y ``(H, W)`` where the line of sight meets the plane at ``x``; z < 0: nowhere."""
        # An offset of half a pixel keeps the depth finite at the vanishing point.
        offset = self.columns - self.vanishing_x
        z = self.focal * x / np.where(np.abs(offset) < 0.5, np.float32(0.5), offset)
        return z, self.eye - (self.rows - self.horizon) * z / self.focal

    def front_wall(self, z: float) -> tuple[Floats, Floats]:
        """World x and y ``(H, W)`` on the plane at depth ``z``."""
        x = (self.columns - self.vanishing_x) * z / self.focal
        return x, self.eye - (self.rows - self.horizon) * z / self.focal


@dataclass(frozen=True)
class Canvas:
    """The picture painted so far: colours ``(H, W, 3)`` and, ``(H, W)`` each, label ids, instance numbers, depth."""

    rgb: Floats
    label: NDArray[np.uint8]
    instance: NDArray[np.uint16]
    depth: Floats

    @classmethod
    def blank(cls, height: int, width: int) -> Canvas:
        """Make a black canvas of sky."""
        size = (height, width)
        return cls(
            rgb=np.zeros((*size, 3), np.float32),
            label=np.full(size, SKY, np.uint8),
            instance=np.zeros(size, np.uint16),
            depth=np.full(size, FAR, np.float32),
        )

    def view(self, window: Window) -> Canvas:
        """Return a part of the canvas; what is painted on it shows on the whole."""
        return Canvas(self.rgb[window], self.label[window], self.instance[window], self.depth[window])

    def paint(self, mask: Mask, rgb: Floats, label: int, depth: Floats | float, alpha: Floats | None = None) -> None:
        """Paint a surface ``(H, W)`` over what is there; ``alpha`` thins its colour, not its label."""
        colors = np.broadcast_to(rgb, self.rgb.shape)[mask]
        if alpha is not None:
            share = alpha[mask][:, None]
            colors = share * colors + (1 - share) * self.rgb[mask]
        self.rgb[mask] = colors
        self.label[mask] = label
        self.instance[mask] = 0
        self.depth[mask] = np.broadcast_to(depth, mask.shape)[mask]

    def paste(self, sprite: Sprite, quad: Floats, label: int, instance: int, depth: float) -> None:
        """Warp a sprite onto a quadrangle ``(4, 2)``: top left, top right, bottom right, bottom left."""
        height, width = self.label.shape
        # Window of the canvas around the quadrangle.
        x0, y0 = np.maximum(np.floor(quad.min(0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(quad.max(0)).astype(int), (width, height))
        if x0 >= x1 or y0 >= y1:
            return
        rows, columns = sprite.alpha.shape
        # Homography from the sprite's corners to those of the quadrangle in the window.
        corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
        matrix = cv2.getPerspectiveTransform(corners, (quad - (x0, y0)).astype(np.float32))
        size = (int(x1 - x0), int(y1 - y0))
        alpha = cv2.warpPerspective(sprite.alpha, matrix, size, flags=cv2.INTER_AREA)
        rgb = cv2.warpPerspective(sprite.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        window = np.s_[y0:y1, x0:x1]
        # Colours mix at the sprite's border; labels, instances and depth don't.
        self.rgb[window] += alpha[..., None] * (rgb - self.rgb[window])
        inside = alpha > sprite.label_threshold
        self.label[window][inside] = label
        self.instance[window][inside] = instance
        self.depth[window][inside] = depth

    def darken(self, center: Floats, axes: tuple[float, float], strength: float) -> None:
        """Darken the colours by a soft shadow ellipse."""
        shade = np.zeros(self.label.shape, np.float32)
        middle = (int(center[0]), int(center[1]))
        cv2.ellipse(shade, middle, (max(int(axes[0]), 1), max(int(axes[1]), 1)), 0, 0, 360, strength, -1)
        np.multiply(self.rgb, 1 - cv2.blur(shade, (5, 5))[..., None], out=self.rgb)

    def mark_void(self, mask: Mask, label: int = UNLABELED) -> None:
        """Give pixels a label that is not a class; their colour stays."""
        self.label[mask] = label
        self.instance[mask] = 0


@dataclass(frozen=True)
class Sprite:
    """A flat drawing: ``rgb (h, w, 3)`` and ``alpha (h, w)`` in 0..1, both float32."""

    rgb: Floats
    alpha: Floats
    label_threshold: float = 0.5


def find_window(mask: Mask) -> Window:
    """Return the smallest window that holds all set pixels; empty if there is none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.s_[0:0, 0:0]
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def make_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Floats:
    """Draw smooth noise ``(H, W)`` of mean 0 and standard deviation near 1; ``cell`` is its grain in pixels."""
    if cell <= 1:
        return rng.standard_normal(shape, np.float32)
    # Draw a value at each point of a coarse grid and interpolate.
    rows, columns = (int(np.ceil(n / cell)) + 2 for n in shape)
    coarse = rng.standard_normal((rows, columns), np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def make_color(red: float, green: float, blue: float) -> Floats:
    """Return a colour ``(3,)``."""
    return np.array((red, green, blue), np.float32)


def jitter_color(rng: np.random.Generator, color: ArrayLike, spread: float) -> Floats:
    """Draw a colour near ``color``: brightness and tint vary by about ``spread``."""
    # A tint for each channel, and a brightness for all three.
    tinted = np.asarray(color, np.float32) + rng.normal(0, spread, 3) * 0.4 + rng.normal(0, spread)
    return np.clip(tinted, 0, 255).astype(np.float32)
