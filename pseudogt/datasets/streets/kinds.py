"""The kinds of streets that scenes show: what stands where, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneLayout:
    """Objects and their places in a kind of street; choices and ranges are drawn from evenly.

    Attributes
    ----------
    share : float
        Share of the scenes.
    sides, ends : tuple of str
        What may stand along the street and at its end.
    walk_m, setback_m : (float, float)
        Range of the width of a sidewalk, and of the distance from it to what stands along it.
    trees, cars, persons, bicycles : (int, int)
        Range of their numbers.
    across : bool
        Whether the camera looks over the street instead of along it.
    road, grass : bool
        Whether there is a carriageway, and grass beside the sidewalks.
    """

    share: float
    sides: tuple[str, ...]
    ends: tuple[str, ...]
    walk_m: tuple[float, float]
    trees: tuple[int, int]
    cars: tuple[int, int]
    persons: tuple[int, int]
    bicycles: tuple[int, int]
    setback_m: tuple[float, float] = (-0.3, 0.4)
    across: bool = False
    road: bool = True
    grass: bool = True


SCENE_LAYOUTS = {
    "street": SceneLayout(
        share=0.18,
        sides=("houses",),
        ends=("houses", "none"),
        walk_m=(1.6, 3.2),
        trees=(0, 2),
        cars=(1, 6),
        persons=(2, 7),
        bicycles=(0, 4),
        grass=False,
    ),
    "canyon": SceneLayout(
        share=0.12,
        sides=("towers",),
        ends=("towers",),
        walk_m=(1.2, 2.2),
        trees=(0, 0),
        cars=(1, 5),
        persons=(1, 6),
        bicycles=(0, 3),
        setback_m=(-0.4, -0.1),
        grass=False,
    ),
    "suburb": SceneLayout(
        share=0.16,
        sides=("fence", "hedge", "houses"),
        ends=("hills", "houses"),
        walk_m=(1.2, 2.2),
        trees=(1, 5),
        cars=(1, 4),
        persons=(0, 4),
        bicycles=(0, 4),
        setback_m=(0.0, 2.0),
    ),
    "park": SceneLayout(
        share=0.12,
        sides=("none", "hedge"),
        ends=("hills", "hedge"),
        walk_m=(1.5, 3.0),
        trees=(3, 8),
        cars=(0, 0),
        persons=(1, 7),
        bicycles=(1, 5),
        setback_m=(0.5, 4.0),
        road=False,
    ),
    "plaza": SceneLayout(
        share=0.1,
        sides=("houses", "none"),
        ends=("houses", "fence"),
        walk_m=(4.0, 9.0),
        trees=(0, 1),
        cars=(0, 0),
        persons=(2, 8),
        bicycles=(1, 6),
        road=False,
        grass=False,
    ),
    "highway": SceneLayout(
        share=0.13,
        sides=("fence",),
        ends=("hills", "none"),
        walk_m=(0.0, 0.0),
        trees=(0, 3),
        cars=(2, 7),
        persons=(0, 0),
        bicycles=(0, 0),
        setback_m=(0.3, 1.5),
    ),
    "open": SceneLayout(
        share=0.07,
        sides=("none",),
        ends=("none", "hills"),
        walk_m=(0.0, 2.0),
        trees=(0, 2),
        cars=(1, 4),
        persons=(0, 3),
        bicycles=(0, 4),
    ),
    "across": SceneLayout(
        share=0.12,
        sides=("none",),
        ends=("houses", "fence", "hedge"),
        walk_m=(1.5, 3.5),
        trees=(0, 3),
        cars=(1, 4),
        persons=(1, 6),
        bicycles=(0, 4),
        across=True,
    ),
}
