# Results that were brought along: each rule takes the place of the one of the same name that would compute them.
if CONFIG.provided.weak_labels:

    rule weak_labels_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            provided=ancient(CONFIG.provided.weak_labels),
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
            mem_mb=memory("weak_labels"),
            runtime=minutes("weak_labels"),
        params:
            may_miss="--may-miss" if HAS_FULL_LABELS else "",
            content=lambda wildcards: digest([PROVIDED_WEAK_LABELS.get(i) for i in SHARDS[wildcards.shard]]),
            settings=provided("weak_labels"),
            code=code("provided"),
        message:
            "weak_labels: {wildcards.shard}, provided"
        shell:
            "python -m pseudogt.stages.provided --kind weak_labels {params.may_miss} --shard {input.shard:q} "
            "--out {output.weak_labels:q} --settings {params.settings:q} 2> {log:q}"


if CONFIG.provided.cams:

    rule cams_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            provided=CONFIG.provided.cams,
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
            mem_mb=memory("cams"),
            runtime=minutes("cams"),
        params:
            settings=provided("cams"),
            code=code("provided"),
        message:
            "cams: {wildcards.shard}, provided"
        shell:
            "python -m pseudogt.stages.provided --kind cams --shard {input.shard:q} "
            "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


if CONFIG.provided.box_masks:

    rule box_masks_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            provided=CONFIG.provided.box_masks,
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
            mem_mb=memory("box_masks"),
            runtime=minutes("box_masks"),
        params:
            settings=provided("box_masks"),
            code=code("provided"),
        message:
            "box_masks: {wildcards.shard}, provided"
        shell:
            "python -m pseudogt.stages.provided --kind box_masks --shard {input.shard:q} "
            "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"
