from snakemake.utils import min_version

min_version("9.11")


# Of this folder, wherever Snakemake is started.
configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/provided.smk"
include: "rules/data.smk"
include: "rules/annotations.smk"
include: "rules/full_labels.smk"
include: "rules/proposals.smk"
include: "rules/mining.smk"
include: "rules/pseudo_labels.smk"
include: "rules/segmentation.smk"
include: "rules/results.smk"
include: "rules/export.smk"
include: "rules/review.smk"
include: "rules/boxes_to_masks.smk"


rule all:
    default_target: True
    input:
        rules.evaluation.output.summary,
        rules.report.output.folder,
