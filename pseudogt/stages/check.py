"""Check a whole dataset: print a table of its problems and write a report.

The settings are the whole configuration of a run, since images and annotations are checked together, and the time and
space of the run are estimated. The exit code is 1 if there are problems, after the report is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pseudogt.box_masks.sam_folder import find_sam_problem
from pseudogt.checking.dataset import check_dataset
from pseudogt.checking.findings import format_findings
from pseudogt.config.run import RunConfig
from pseudogt.config.segmenter import QUERY_NETWORKS
from pseudogt.config.unread import find_unread
from pseudogt.files.io import write_json
from pseudogt.files.model_folders import find_transformers_problem
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.networks import find_fast_rates, list_initial_networks


def main(argv: Sequence[str] | None = None) -> None:
    """Check all images; a problem of one never hides those of another."""
    parser = stage_parser(__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--out", type=Path, required=True, help="report to write (JSON)")
    parser.add_argument("--threads", type=int, default=1, help="images checked at the same time")
    arguments = parser.parse_args(argv)
    config = parse_settings(RunConfig, arguments.settings)
    findings = check_dataset(config, arguments.data_root, threads=arguments.threads)
    for section, network in list_initial_networks(config).items():
        # Imports torch, which takes longer than to check a thousand images.
        from models.backbones import find_problem

        if problem := find_problem(network.backbone, **network.model_dump(exclude={"backbone", "network"})):
            findings.add_problems([f"{section}.backbone: {problem}"])
    network_name = config.segmenter.network
    if network_name in QUERY_NETWORKS and (problem := find_transformers_problem(network_name)):
        findings.add_problems([f"segmenter.network: {problem}"])
    if config.uses_sam and (problem := find_sam_problem(config.box_masks.sam_model or "")):
        findings.add_problems([f"box_masks.sam_model: {problem}"])
    findings.warnings += [*find_unread(config), *find_fast_rates(config)]
    write_json(arguments.out, {"decoded": config.decode, **asdict(findings)})
    print(format_findings(findings))
    if findings.problems:
        number = len(findings.problems)
        count = "1 problem" if number == 1 else f"{number} problems"
        raise ValueError(f"{count} in {arguments.data_root}; {arguments.out} lists all of them")


if __name__ == "__main__":
    run_stage(main)
