rule review_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        labels=f"{RESULTS}/labels/{PLAN.review_round}/{{shard}}",
        scores=lambda wildcards: PLAN.find_review_scores(wildcards.shard),
        box_masks=f"{RESULTS}/box_masks/{{shard}}" if PLAN.uses_boxes else [],
        full_labels=lambda wildcards: PLAN.find_full_labels(wildcards.shard),
    output:
        reviewed=f"{RESULTS}/reviewed/{{shard}}.json",
    log:
        f"{LOGS}/review/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/review/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("review"),
        runtime=limit_time("review"),
    params:
        scores=lambda wildcards, input: pass_files_if_any("scores", input.scores),
        box_masks=lambda wildcards, input: pass_files_if_any("box-masks", input.box_masks),
        full_labels=lambda wildcards, input: pass_files_if_any("full-labels", input.full_labels),
        code=digest_code("review"),
    message:
        "review: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.review shard --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
        "--labels {input.labels:q} {params.scores} {params.box_masks} {params.full_labels} "
        "--out {output.reviewed:q} 2> {log:q}"


rule review:
    input:
        shards=PLAN.list_train("index/{shard}.json"),
        reviewed=PLAN.list_train("reviewed/{shard}.json"),
        labels=PLAN.list_train(f"labels/{PLAN.review_round}/{{shard}}"),
    output:
        folder=directory(f"{RESULTS}/review"),
    log:
        f"{LOGS}/review.log",
    benchmark:
        f"{BENCHMARKS}/review.tsv"
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
        "review: rank the images to check first"
    shell:
        "python -m pseudogt.stages.review merge {params.shards} {params.reviewed} "
        "{params.labels} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"
