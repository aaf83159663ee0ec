"""The report's table of networks that had seen masks."""

from __future__ import annotations

import pytest

from pseudogt.reporting.report import make_tables

SUMMARY = {
    "rounds": [],
    "reference": {"val": None},
    "ratio": dict.fromkeys(("pq", "pq_th", "pq_st", "miou", "ap")),
    "detections": {"val": None, "train": None},
    "categories": [],
    "seconds": {},
}
NETWORK = {"section": "cams", "model": "facebook/sam3", "has_seen": "masks"}


@pytest.mark.parametrize(("networks", "rows"), [([NETWORK], [["cams", "facebook/sam3", "masks"]]), ([], None)])
def test_networks_are_listed_if_there_are_any(networks, rows):
    tables = {table["title"]: table["rows"] for table in make_tables(SUMMARY, {}, {}, [], networks)}
    assert tables.get("What the mask networks have seen") == rows
