rule classifier:
    input:
        PLAN.find_network_check("classifier"),
        shards=PLAN.list_train("index/{shard}.json"),
        weak_labels=PLAN.list_train("weak_labels/{shard}.json"),
        # Given weak labels exist for training images only.
        val_shards=PLAN.list_measured_val("index/{shard}.json"),
        val_weak_labels=PLAN.list_measured_val("weak_labels/{shard}.json"),
    output:
        model=f"{RESULTS}/classifier/model.pt",
        record=f"{RESULTS}/classifier/record.json",
    log:
        f"{LOGS}/classifier.log",
    benchmark:
        f"{BENCHMARKS}/classifier.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: count_training_threads("classifier")
    resources:
        mem_mb=limit_training_memory("classifier"),
        runtime=limit_training_time("classifier"),
        gpu=CONFIG.gpus,
    params:
        inputs=pass_inputs,
        launcher=LAUNCHER,
        out=subpath(output.model, parent=True),
        scratch=f"{RESULTS}/scratch/classifier",
        settings=dump_settings("classifier"),
        code=digest_code("classifier"),
    message:
        "classifier: learn from tags where each class is"
    shell:
        "{params.launcher} -m pseudogt.stages.classifier {params.inputs} "
        "--out {params.out:q} --scratch {params.scratch:q} --cores {threads} "
        "--settings {params.settings:q} 2> {log:q}"


if CONFIG.uses_concepts:

    rule cams_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        output:
            scores=remove_after_use(f"{RESULTS}/cams/{{shard}}.h5"),
            instances=directory(f"{RESULTS}/concepts/{{shard}}"),
        log:
            f"{LOGS}/cams/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/cams/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: CORES_PER_GPU
        resources:
            mem_mb=limit_memory("cams"),
            runtime=limit_time("cams"),
            gpu=min(CONFIG.gpus, 1),
        params:
            inputs=pass_inputs,
            prompts=json.dumps(CONFIG.prompts),
            settings=dump_settings("cams"),
            code=digest_code("concepts"),
            weights=GIVEN.weights.get("cams", ""),
        message:
            "cams: {wildcards.shard}, by the names of classes"
        shell:
            "python -m pseudogt.stages.concepts {params.inputs} --prompts {params.prompts:q} "
            "--out {output.scores:q} --instances {output.instances:q} "
            "--settings {params.settings:q} 2> {log:q}"

elif not CONFIG.provided.cams:

    rule cams_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
            model=rules.classifier.output.model,
        output:
            scores=remove_after_use(f"{RESULTS}/cams/{{shard}}.h5"),
        log:
            f"{LOGS}/cams/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/cams/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: CORES_PER_GPU
        resources:
            mem_mb=limit_memory("cams"),
            runtime=limit_time("cams"),
            gpu=min(CONFIG.gpus, 1),
        params:
            inputs=pass_inputs,
            settings=dump_settings("cams"),
            code=digest_code("cams"),
        message:
            "cams: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.cams {params.inputs} --out {output.scores:q} "
            "--settings {params.settings:q} 2> {log:q}"


rule cams:
    input:
        PLAN.list_train("cams/{shard}.h5"),


if not CONFIG.provided.box_masks:

    rule box_masks_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
            proposals=lambda wildcards: PLAN.find_box_proposals(wildcards.shard),
            cams=lambda wildcards: PLAN.find_box_cams(wildcards.shard),
            drawn=lambda wildcards: PLAN.find_drawn_things(wildcards.shard),
        output:
            folder=directory(f"{RESULTS}/box_masks/{{shard}}"),
        log:
            f"{LOGS}/box_masks/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/box_masks/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        # Of all segmenters only Segment Anything uses several cores, or a GPU.
        threads: CONFIG.threads if CONFIG.uses_sam and not CONFIG.gpus else 1
        resources:
            mem_mb=limit_memory("box_masks"),
            runtime=limit_time("box_masks"),
            gpu=min(CONFIG.gpus, 1) if CONFIG.uses_sam else 0,
        params:
            inputs=pass_inputs,
            settings=dump_settings("box_masks"),
            code=digest_code("box_masks"),
            weights=GIVEN.weights["box_masks"],
        message:
            "box_masks: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.box_masks {params.inputs} --out {output.folder:q} "
            "--settings {params.settings:q} 2> {log:q}"


rule box_masks:
    input:
        PLAN.list_train("box_masks/{shard}"),


rule labels_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        scores=lambda wildcards: PLAN.find_scores(int(wildcards.round), wildcards.shard),
        first_scores=lambda wildcards: PLAN.find_mixed_scores(int(wildcards.round), wildcards.shard),
        box_masks=lambda wildcards: PLAN.find_box_masks(int(wildcards.round), wildcards.shard),
        instances=lambda wildcards: PLAN.find_instances(int(wildcards.round), wildcards.shard),
        full_labels=lambda wildcards: PLAN.find_full_labels(wildcards.shard),
        record=lambda wildcards: PLAN.find_previous("segmenter/{round}/record.json", int(wildcards.round)),
        previous=lambda wildcards: PLAN.find_previous(
            "labels/{round}/{shard}", int(wildcards.round), wildcards.shard
        ),
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
        mem_mb=limit_memory("labels"),
        runtime=limit_time("labels"),
    params:
        inputs=pass_inputs,
        keep_shown="--keep-shown" if CONFIG.uses_concepts else "",
        min_share=CONFIG.min_share,
        settings=dump_settings("labels"),
        code=digest_code("labels"),
    message:
        "labels: round {wildcards.round}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.labels {params.inputs} {params.keep_shown} --min-share {params.min_share:q} "
        "--round {wildcards.round} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule labels:
    input:
        PLAN.list_train(f"labels/{PLAN.label_rounds}/{{shard}}"),
