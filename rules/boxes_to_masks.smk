# Masks for given boxes, and a review page: for the folder `boxes_from`, or else for the run. Nothing is trained.
rule box_review_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        box_masks=f"{RESULTS}/box_masks/{{shard}}",
    output:
        reviewed=f"{RESULTS}/reviewed_boxes/{{shard}}.json",
    log:
        f"{LOGS}/box_review/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/box_review/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("review"),
        runtime=limit_time("review"),
    params:
        code=digest_code("review"),
    message:
        "box_review: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.review shard --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
        "--labels {input.box_masks:q} --box-masks {input.box_masks:q} --out {output.reviewed:q} 2> {log:q}"


rule box_review:
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
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("review", PLAN.image_count),
        runtime=limit_time("review", PLAN.image_count),
    params:
        shards=lambda wildcards, input: pass_files("shards", input.shards),
        reviewed=lambda wildcards, input: pass_files("reviewed", input.reviewed),
        labels=lambda wildcards, input: pass_files("labels", input.labels),
        settings=dump_settings("review"),
        code=digest_code("review"),
    message:
        "box_review: the least trusted masks"
    shell:
        "python -m pseudogt.stages.review merge {params.shards} {params.reviewed} "
        "{params.labels} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


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
