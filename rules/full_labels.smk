# Images with full labels: training uses these labels unchanged, and derives the images' weak labels from them.
if CONFIG.has_full_labels:

    rule full_labels_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            # Their image ids tell training images from others; their content does not matter.
            all_shards=ancient(PLAN.list_all("index/{shard}.json")),
            weak_labels=GIVEN_WEAK_LABELS,
            ground_truth=lambda wildcards: PLAN.find_listed_truth(wildcards.shard),
        output:
            folder=directory(f"{RESULTS}/full_labels/{{shard}}"),
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
            things=[directory(path) for path in PLAN.find_drawn_things("{shard}")],
        log:
            f"{LOGS}/full_labels/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/full_labels/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("ground_truth"),
            runtime=limit_time("ground_truth"),
        params:
            inputs=pass_inputs,
            listed=lambda wildcards: pass_files_if_any("listed", PLAN.list_full_ids(wildcards.shard)),
            content=lambda wildcards: GIVEN.digest_full_labels(SHARDS[wildcards.shard]),
            data_root=PLAN.data_root,
            polygons=GIVEN.annotations if CONFIG.full_labels.polygons else "",
            annotations=dump_settings("annotations"),
            things=lambda wildcards, output: pass_files_if_any("things-out", output.things),
            settings=dump_settings("full_labels"),
            weak_settings=dump_settings("weak_labels"),
            code=digest_code("full_labels"),
        message:
            "full_labels: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.full_labels {params.inputs} {params.listed} --out {output.folder:q} "
            "--weak-out {output.weak_labels:q} --settings {params.settings:q} "
            "--weak-settings {params.weak_settings:q} --data-root {params.data_root:q} "
            "--annotations {params.annotations:q} {params.things} 2> {log:q}"


rule full_labels:
    input:
        PLAN.list_full_labels(),
