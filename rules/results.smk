# Score labels, predictions and the stages before round 0 against the ground truth of their split.
rule evaluation_subject:
    input:
        ground_truth=lambda wildcards: PLAN.list_truth(wildcards.subject),
        scored=lambda wildcards: PLAN.list_scored(wildcards.subject),
    output:
        scores=f"{RESULTS}/evaluation/{{subject}}.json",
    log:
        f"{LOGS}/evaluation/{{subject}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{subject}}.tsv"
    wildcard_constraints:
        subject=SUBJECT_PATTERN,
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("evaluation", PLAN.image_count),
        runtime=limit_time("evaluation", PLAN.image_count),
    params:
        ground_truth=lambda wildcards, input: pass_files("ground-truth", input.ground_truth),
        kind=lambda wildcards: find_subject(wildcards.subject).flag,
        scored=lambda wildcards, input: pass_files(find_subject(wildcards.subject).option, input.scored),
        settings=dump_settings("evaluation"),
        code=digest_code("evaluation"),
    message:
        "evaluation: {wildcards.subject}"
    shell:
        "python -m pseudogt.stages.evaluation score --subject {wildcards.subject} {params.ground_truth} "
        "{params.kind} {params.scored} --threads {threads} --out {output.scores:q} "
        "--settings {params.settings:q} 2> {log:q}"


# Detections against true objects: AP on val, CorLoc on train.
rule detection_scores:
    input:
        objects=lambda wildcards: PLAN.list_measured(wildcards.measure, "objects/{shard}.json"),
        detections=lambda wildcards: PLAN.list_measured(wildcards.measure, "detections/{shard}.json"),
    output:
        scores=f"{RESULTS}/evaluation/{{measure}}.json",
    log:
        f"{LOGS}/evaluation/{{measure}}.log",
    benchmark:
        f"{BENCHMARKS}/detection_scores/{{measure}}.tsv"
    wildcard_constraints:
        measure="|".join(MEASURES),
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("detection_scores", PLAN.image_count),
        runtime=limit_time("detection_scores", PLAN.image_count),
    params:
        inputs=pass_inputs,
        settings=dump_settings("evaluation"),
        code=digest_code("detection_scores"),
    message:
        "evaluation: {wildcards.measure} of detections"
    shell:
        "python -m pseudogt.stages.detection_scores {wildcards.measure} {params.inputs} "
        "--settings {params.settings:q} --out {output.scores:q} 2> {log:q}"


if not PLAN.uses_boxes:

    # The scores of the paper's tables, without the later rounds.
    rule protocol:
        input:
            panoptic=PLAN.list_scores(["mining"]),
            measures=PLAN.list_paper_measures(),
        output:
            table=f"{RESULTS}/evaluation/protocol.json",
        log:
            f"{LOGS}/evaluation/protocol.log",
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("evaluation"),
            runtime=limit_time("evaluation", 1),
        params:
            inputs=pass_inputs,
            dataset=CONFIG.name,
            code=digest_code("protocol"),
        message:
            "protocol: the scores of the paper's tables"
        shell:
            "python -m pseudogt.stages.protocol {params.inputs} --dataset {params.dataset:q} "
            "--out {output.table:q} 2> {log:q}"


# Without ground truth there are no scores: they are null in the summary, never 0.
rule evaluation:
    input:
        stage_scores=PLAN.list_scores([*PLAN.first_stages, f"labels-{PLAN.label_rounds}"]),
        label_scores=PLAN.list_scores(PLAN.list_rounds("labels")),
        model_scores=PLAN.list_scores(PLAN.list_rounds("model")),
        records=PLAN.keep_if_scored(PLAN.list_records(CONFIG.rounds.max)),
        reference_scores=PLAN.list_scores(["reference"]),
        detection_scores=PLAN.list_measures(),
    output:
        summary=report(
            f"{RESULTS}/evaluation/summary.json",
            caption="../docs/captions/summary.rst",
            category="Evaluation",
        ),
    log:
        f"{LOGS}/evaluation/summary.log",
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("evaluation", PLAN.image_count),
        runtime=limit_time("evaluation", PLAN.image_count),
    params:
        inputs=pass_inputs,
        dataset=CONFIG.name,
        supervision=name_supervision(CONFIG),
        benchmarks=BENCHMARKS,
        code=digest_code("evaluation"),
    message:
        "evaluation: summary of the run"
    shell:
        "python -m pseudogt.stages.evaluation summary {params.inputs} --dataset {params.dataset:q} "
        "--supervision {params.supervision:q} --benchmarks {params.benchmarks:q} --out {output.summary:q} 2> {log:q}"


rule report:
    input:
        [folder for folders in PLAN.shown_labels.values() for folder in folders],
        summary=rules.evaluation.output.summary,
        shards=PLAN.list_all("index/{shard}.json"),
        ground_truth=PLAN.keep_if_scored(PLAN.list_all("ground_truth/{shard}")),
        weak_labels=PLAN.list_train("weak_labels/{shard}.json"),
        full_labels=PLAN.list_full_labels(),
        cams=PLAN.list_train("cams/{shard}.h5") if PLAN.uses_boxes else [],
        box_masks=PLAN.list_train("box_masks/{shard}") if PLAN.uses_boxes else [],
        mined=[] if PLAN.uses_boxes else PLAN.list_all("mined/{shard}"),
        predictions=PLAN.list_all(f"predictions/{PLAN.last_round}/{{shard}}"),
        reference_predictions=PLAN.keep_if_scored(PLAN.list_val("reference_predictions/{shard}")),
        scores=PLAN.list_scores([f"model-{PLAN.last_round}"]),
        label_scores=PLAN.list_scores([f"labels-{PLAN.label_rounds}"]),
    output:
        folder=report(
            directory(f"{RESULTS}/report"),
            patterns=["{figure}.png"],
            caption="../docs/captions/figures.rst",
            category="Figures",
            htmlindex="index.html",
        ),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("report", PLAN.image_count),
        runtime=limit_time("report", PLAN.image_count),
    params:
        inputs=pass_inputs,
        labels=lambda wildcards: " ".join(
            pass_files("labels", [number, *folders]) for number, folders in PLAN.shown_labels.items()
        ),
        networks=json.dumps(describe_networks(CONFIG)),
        settings=dump_settings("report"),
        code=digest_code("report"),
    message:
        "report: figures and pages"
    shell:
        "python -m pseudogt.stages.report {params.inputs} {params.labels} --networks {params.networks:q} "
        "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


# The model and the images are parameters, not inputs, so this works without the run that made them.
rule predict:
    output:
        folder=directory(CONFIG.predict_to),
    log:
        "logs/predict.log",
    conda:
        "../envs/pseudogt.yaml"
    threads: CORES_PER_GPU
    resources:
        gpu=min(CONFIG.gpus, 1),
    params:
        images=CONFIG.images,
        model=pass_files("onnx" if PLAN.predict_model.endswith(".onnx") else "model", [PLAN.predict_model]),
        content=PREDICT_INPUTS,
        settings=dump_settings("predictions"),
        code=digest_code("predict"),
    message:
        f"predict: label the images in {CONFIG.images}"
    shell:
        "python -m pseudogt.stages.predict --images {params.images:q} {params.model} "
        "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


# A named model is a parameter again: any model file will do. That of the run is an input, which is trained if need be.
rule export_model:
    input:
        [] if CONFIG.model else PLAN.predict_model,
    output:
        file=CONFIG.model_to,
    log:
        "logs/export_model.log",
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("predictions"),
        runtime=limit_time("predictions", 1),
    params:
        model=lambda wildcards, input: CONFIG.model or input[0],
        content=digest_times(path for path in [Path(CONFIG.model or "")] if path.is_file()),
        settings=dump_settings("predictions"),
        code=digest_code("export_model"),
    message:
        f"export_model: write {CONFIG.model_to}"
    shell:
        "python -m pseudogt.stages.export_model --model {params.model:q} --out {output.file:q} "
        "--settings {params.settings:q} 2> {log:q}"


# Predictions, scores and checkpoints of all rounds; labels, models, figures and exports stay.
rule clean_rounds:
    log:
        f"{LOGS}/clean_rounds.log",
    conda:
        "../envs/pseudogt.yaml"
    params:
        folders=[f"{RESULTS}/predictions", f"{RESULTS}/reference_predictions", f"{RESULTS}/scratch"],
    message:
        "clean_rounds: remove files that can be remade from labels and models"
    shell:
        "rm -rf {params.folders:q} > {log:q} 2>&1"
