rule review_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        labels=f"{RESULTS}/labels/{REVIEW_ROUND}/{{shard}}",
        scores=get_review_scores,
        box_masks=f"{RESULTS}/box_masks/{{shard}}" if CONFIG.method == "wsps" else [],
        full_labels=get_full_labels,
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
        mem_mb=grow(2000),
        runtime=grow(30),
    params:
        box_masks=lambda wildcards, input: flag("box-masks", input.box_masks),
        full_labels=lambda wildcards, input: flag("full-labels", input.full_labels),
        code=code("review"),
    message:
        "review: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.review shard --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
        "--labels {input.labels:q} --scores {input.scores:q} {params.box_masks} {params.full_labels} "
        "--out {output.reviewed:q} 2> {log:q}"


rule review:
    input:
        shards=for_train("index/{shard}.json"),
        reviewed=for_train("reviewed/{shard}.json"),
        labels=for_train(f"labels/{REVIEW_ROUND}/{{shard}}"),
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
        mem_mb=grow(2000),
        runtime=grow(30),
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        reviewed=lambda wildcards, input: list_files("reviewed", input.reviewed),
        labels=lambda wildcards, input: list_files("labels", input.labels),
        settings=settings("review"),
        code=code("review"),
    message:
        "review: what a person should look at first"
    shell:
        "python -m pseudogt.stages.review merge {params.shards} {params.reviewed} "
        "{params.labels} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"
