# Provided results: each rule replaces the rule of the same name that would compute them.
if CONFIG.provided.weak_labels:

    rule weak_labels_shard:
        input:
            ancient(CONFIG.provided.weak_labels),
            shard=f"{RESULTS}/index/{{shard}}.json",
        output:
            weak_labels=GIVEN_WEAK_LABELS,
        log:
            f"{LOGS}/weak_labels/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/weak_labels/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("weak_labels"),
            runtime=limit_time("weak_labels"),
        params:
            inputs=pass_inputs,
            may_miss="--may-miss" if CONFIG.has_full_labels else "",
            content=lambda wildcards: GIVEN.digest_weak_labels(SHARDS[wildcards.shard]),
            settings=dump_provided("weak_labels"),
            code=digest_code("provided"),
        message:
            "weak_labels: {wildcards.shard}, provided"
        shell:
            "python -m pseudogt.stages.provided --kind weak_labels {params.may_miss} {params.inputs} "
            "--out {output.weak_labels:q} --settings {params.settings:q} 2> {log:q}"


if CONFIG.provided.cams:

    rule cams_shard:
        input:
            CONFIG.provided.cams,
            shard=f"{RESULTS}/index/{{shard}}.json",
        output:
            scores=f"{RESULTS}/cams/{{shard}}.h5",
        log:
            f"{LOGS}/cams/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/cams/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("cams"),
            runtime=limit_time("cams"),
        params:
            inputs=pass_inputs,
            settings=dump_provided("cams"),
            code=digest_code("provided"),
        message:
            "cams: {wildcards.shard}, provided"
        shell:
            "python -m pseudogt.stages.provided --kind cams {params.inputs} "
            "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


if CONFIG.provided.box_masks:

    rule box_masks_shard:
        input:
            CONFIG.provided.box_masks,
            shard=f"{RESULTS}/index/{{shard}}.json",
        output:
            folder=directory(f"{RESULTS}/box_masks/{{shard}}"),
        log:
            f"{LOGS}/box_masks/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/box_masks/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("box_masks"),
            runtime=limit_time("box_masks"),
        params:
            inputs=pass_inputs,
            settings=dump_provided("box_masks"),
            code=digest_code("provided"),
        message:
            "box_masks: {wildcards.shard}, provided"
        shell:
            "python -m pseudogt.stages.provided --kind box_masks {params.inputs} "
            "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"
