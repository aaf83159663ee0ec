# Boxes and tags of other tools, in place of weak labels derived from ground truth. One job for all training images:
# most formats are one file, which each job would have to read completely.
if CONFIG.annotations.given:

    rule annotations:
        input:
            shards=PLAN.list_train("index/{shard}.json"),
        output:
            weak_labels=expand(GIVEN_WEAK_LABELS, shard=PLAN.train_shards),
        log:
            f"{LOGS}/annotations.log",
        benchmark:
            f"{BENCHMARKS}/annotations.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("annotations", PLAN.image_count),
            runtime=limit_time("annotations", PLAN.image_count),
        params:
            inputs=pass_inputs,
            data_root=PLAN.data_root,
            folder=lambda wildcards, output: os.path.dirname(output.weak_labels[0]),
            content=GIVEN.annotations,
            settings=dump_settings("annotations"),
            code=digest_code("annotations"),
        message:
            "annotations: weak labels from annotation files"
        shell:
            "python -m pseudogt.stages.annotations {params.inputs} --data-root {params.data_root:q} "
            "--out-dir {params.folder:q} --settings {params.settings:q} 2> {log:q}"
