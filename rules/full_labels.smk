# Images with full labels: these labels enter training as they are, and their weak labels follow from them.
if HAS_FULL_LABELS:

    rule full_labels_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            # Told from strangers by them; their content does not matter.
            all_shards=ancient(for_train("index/{shard}.json") + for_val("index/{shard}.json")),
            weak_labels=GIVEN_WEAK_LABELS,
            ground_truth=get_listed_ground_truth,
        output:
            folder=directory(f"{RESULTS}/full_labels/{{shard}}"),
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        log:
            f"{LOGS}/full_labels/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/full_labels/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=memory("ground_truth"),
            runtime=minutes("ground_truth"),
        params:
            all_shards=lambda wildcards, input: list_files("all-shards", input.all_shards),
            ground_truth=lambda wildcards, input: flag("ground-truth", input.ground_truth),
            listed=lambda wildcards: flag("listed", list_full_ids(wildcards.shard)),
            content=describe_full_labels,
            settings=settings("full_labels"),
            weak_settings=settings("weak_labels"),
            code=code("full_labels"),
        message:
            "full_labels: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.full_labels --shard {input.shard:q} {params.all_shards} "
            "--weak-labels {input.weak_labels:q} {params.ground_truth} {params.listed} --out {output.folder:q} "
            "--weak-out {output.weak_labels:q} --settings {params.settings:q} "
            "--weak-settings {params.weak_settings:q} 2> {log:q}"


rule full_labels:
    input:
        for_train("full_labels/{shard}") if HAS_FULL_LABELS else [],
