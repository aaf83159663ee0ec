"""Names of the generated street scenes, known before they are generated."""

from __future__ import annotations

from pseudogt.config.streets import StreetsSettings

CITIES = {"train": ("ahornstadt", "birkenau", "eichfeld"), "val": ("lindenberg", "ulmenhof")}


def list_street_ids(settings: StreetsSettings) -> dict[str, list[str]]:
    """Image ids of each split, sorted, in Cityscapes' form ``<city>_<sequence>_<frame>``."""
    counts = {"train": settings.train_images, "val": settings.val_images}
    return {
        split: sorted(f"{cities[i % len(cities)]}_{i:06d}_000019" for i in range(counts[split]))
        for split, cities in CITIES.items()
    }
