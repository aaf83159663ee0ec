rule review_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        labels=f"{RESULTS}/labels/{PLAN.review_round}/{{shard}}",
        scores=lambda wildcards: PLAN.find_scores(PLAN.review_round, wildcards.shard),
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
        inputs=pass_inputs,
        code=digest_code("review"),
    message:
        "review: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.review shard {params.inputs} --out {output.reviewed:q} 2> {log:q}"


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
        inputs=pass_inputs,
        settings=dump_settings("review"),
        code=digest_code("review"),
    message:
        "review: rank the images to check first"
    shell:
        "python -m pseudogt.stages.review merge {params.inputs} --out {output.folder:q} "
        "--settings {params.settings:q} 2> {log:q}"
