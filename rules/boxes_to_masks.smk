# Masks for given boxes, and a review page: for the folder `boxes_from`, or else for the run. Nothing is trained.
use rule review_shard as box_review_shard with:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        labels=f"{RESULTS}/box_masks/{{shard}}",
        scores=[],
        box_masks=f"{RESULTS}/box_masks/{{shard}}",
        full_labels=[],
    output:
        reviewed=f"{RESULTS}/reviewed_boxes/{{shard}}.json",
    log:
        f"{LOGS}/box_review/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/box_review/{{shard}}.tsv"
    message:
        "box_review: {wildcards.shard}"


use rule review as box_review with:
    input:
        shards=PLAN.list_train("index/{shard}.json"),
        reviewed=PLAN.list_train("reviewed_boxes/{shard}.json"),
        labels=PLAN.list_train("box_masks/{shard}"),
    output:
        folder=directory(f"{RESULTS}/box_review"),
    log:
        f"{LOGS}/box_review.log",
    benchmark:
        f"{BENCHMARKS}/box_review.tsv"
    message:
        "box_review: the least trusted masks"


rule boxes_to_masks:
    input:
        sets=[f"{RESULTS}/export/box_masks/{format}" for format in CONFIG.export.formats],
        review=rules.box_review.output.folder,
    output:
        folder=directory(CONFIG.masks_to),
    log:
        f"{LOGS}/boxes_to_masks.log",
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    message:
        f"boxes_to_masks: masks and review page in {CONFIG.masks_to}"
    shell:
        "mkdir -p {output.folder:q} 2> {log:q}; "
        # First, because a folder with a review is recognised as that of an earlier run.
        "cp -r {input.review:q} {output.folder:q}/review 2>> {log:q}; cp -r {input.sets:q} {output.folder:q} 2>> {log:q}"
