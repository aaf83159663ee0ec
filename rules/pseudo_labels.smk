rule classifier:
    input:
        shards=for_train("index/{shard}.json"),
        weak_labels=for_train("weak_labels/{shard}.json"),
        # Weak labels that were given are of training images only.
        val_shards=[] if WEAK_LABELS_GIVEN else for_val("index/{shard}.json"),
        val_weak_labels=[] if WEAK_LABELS_GIVEN else for_val("weak_labels/{shard}.json"),
    output:
        model=f"{RESULTS}/classifier/model.pt",
        record=f"{RESULTS}/classifier/record.json",
    log:
        f"{LOGS}/classifier.log",
    benchmark:
        f"{BENCHMARKS}/classifier.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=training_memory("classifier"),
        runtime=training_minutes("classifier"),
        gpu=CONFIG.gpus,
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        weak_labels=lambda wildcards, input: list_files("weak-labels", input.weak_labels),
        out=subpath(output.model, parent=True),
        scratch=f"{RESULTS}/scratch/classifier",
        val=lambda wildcards, input: flag("val-shards", input.val_shards)
        + " "
        + flag("val-weak-labels", input.val_weak_labels),
        settings=settings("classifier"),
        code=code("classifier"),
    message:
        "classifier: learn which class is where from tags"
    shell:
        "python -m pseudogt.stages.classifier {params.shards} {params.weak_labels} "
        "{params.val} --out {params.out:q} --scratch {params.scratch:q} --settings {params.settings:q} 2> {log:q}"


if not CONFIG.provided.cams:

    rule cams_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
            model=rules.classifier.output.model,
        output:
            scores=passing(f"{RESULTS}/cams/{{shard}}.h5"),
        log:
            f"{LOGS}/cams/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/cams/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: CONFIG.threads
        resources:
            mem_mb=memory("cams"),
            runtime=minutes("cams"),
            gpu=min(CONFIG.gpus, 1),
        params:
            settings=settings("cams"),
            code=code("cams"),
        message:
            "cams: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.cams --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
            "--model {input.model:q} --out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


rule cams:
    input:
        for_train("cams/{shard}.h5"),


if not CONFIG.provided.box_masks:

    rule box_masks_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
            proposals=get_box_proposals,
            cams=get_box_cams,
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
            proposals=lambda wildcards, input: flag("proposals", input.proposals),
            cams=lambda wildcards, input: flag("cams", input.cams),
            settings=settings("box_masks"),
            code=code("box_masks"),
            weights=weights("box_masks"),
        message:
            "box_masks: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.box_masks --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
            "{params.proposals} {params.cams} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule box_masks:
    input:
        for_train("box_masks/{shard}"),


rule labels_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        scores=get_scores,
        first_scores=get_first_scores,
        box_masks=get_box_masks,
        instances=get_instances,
        full_labels=get_full_labels,
        record=get_previous_record,
        previous=get_previous("labels/{round}/{shard}"),
    output:
        folder=directory(f"{RESULTS}/labels/{{round}}/{{shard}}"),
    log:
        f"{LOGS}/labels/{{round}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/labels/{{round}}/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("labels"),
        runtime=minutes("labels"),
    params:
        first_scores=lambda wildcards, input: flag("first-scores", input.first_scores),
        box_masks=lambda wildcards, input: flag("box-masks", input.box_masks),
        instances=lambda wildcards, input: flag("instances", input.instances),
        full_labels=lambda wildcards, input: flag("full-labels", input.full_labels),
        previous=lambda wildcards, input: " ".join(
            [flag("record", input.record), flag("previous", input.previous)]
        ),
        settings=settings("labels"),
        code=code("labels"),
    message:
        "labels: round {wildcards.round}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.labels --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
        "--scores {input.scores:q} {params.first_scores} {params.box_masks} {params.instances} {params.previous} "
        "{params.full_labels} --round {wildcards.round} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule labels:
    input:
        for_train(f"labels/{CONFIG.rounds.max}/{{shard}}"),
