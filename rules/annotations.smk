# Boxes and tags that other tools wrote, in place of weak labels derived from ground truth. One job for all training
# images: most formats are one file, which each job would have to read as a whole.
if CONFIG.annotations.given:

    rule annotations:
        input:
            shards=for_train("index/{shard}.json"),
        output:
            weak_labels=[GIVEN_WEAK_LABELS.replace("{shard}", shard) for shard in TRAIN_SHARDS],
        log:
            f"{LOGS}/annotations.log",
        benchmark:
            f"{BENCHMARKS}/annotations.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=grow(4000),
            runtime=grow(60),
        params:
            shards=lambda wildcards, input: list_files("shards", input.shards),
            data_root=DATA_ROOT,
            folder=lambda wildcards, output: os.path.dirname(output.weak_labels[0]),
            content=describe_annotations(),
            settings=settings("annotations"),
            code=code("annotations"),
        message:
            "annotations: weak labels from the files that were given"
        shell:
            "python -m pseudogt.stages.annotations {params.shards} --data-root {params.data_root:q} "
            "--out-dir {params.folder:q} --settings {params.settings:q} 2> {log:q}"
