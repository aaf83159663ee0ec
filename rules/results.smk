rule evaluation_cams:
    input:
        ground_truth=for_train("ground_truth/{shard}"),
        cams=for_train("cams/{shard}.h5"),
    output:
        scores=f"{RESULTS}/evaluation/cams.json",
    log:
        f"{LOGS}/evaluation/cams.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/cams.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        cams=lambda wildcards, input: list_files("cams", input.cams),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: CAM labels on train"
    shell:
        "python -m pseudogt.stages.evaluation --subject cams {params.ground_truth} "
        "{params.cams} --threads {threads} --out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


rule evaluation_box_masks:
    input:
        ground_truth=for_train("ground_truth/{shard}"),
        labels=for_train("box_masks/{shard}"),
    output:
        scores=f"{RESULTS}/evaluation/box_masks.json",
    log:
        f"{LOGS}/evaluation/box_masks.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/box_masks.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        labels=lambda wildcards, input: list_files("labels", input.labels),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: box masks on train"
    shell:
        "python -m pseudogt.stages.evaluation --subject box_masks --things-only "
        "{params.ground_truth} {params.labels} --threads {threads} "
        "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


rule evaluation_mined:
    input:
        ground_truth=for_train("ground_truth/{shard}"),
        labels=for_train("mined/{shard}"),
    output:
        scores=f"{RESULTS}/evaluation/mined.json",
    log:
        f"{LOGS}/evaluation/mined.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/mined.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        labels=lambda wildcards, input: list_files("labels", input.labels),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: mined labels on train"
    shell:
        "python -m pseudogt.stages.evaluation --subject mined {params.ground_truth} "
        "{params.labels} --threads {threads} --out {output.scores:q} "
        "--settings {params.settings:q} 2> {log:q}"


rule evaluation_mining:
    input:
        ground_truth=for_val("ground_truth/{shard}"),
        predictions=for_val("mined/{shard}"),
    output:
        scores=f"{RESULTS}/evaluation/mining.json",
    log:
        f"{LOGS}/evaluation/mining.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/mining.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        predictions=lambda wildcards, input: list_files("labels", input.predictions),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: model of the mining on val"
    shell:
        "python -m pseudogt.stages.evaluation --subject mining --scored "
        "{params.ground_truth} {params.predictions} --threads {threads} "
        "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


rule evaluation_labels:
    input:
        ground_truth=for_train("ground_truth/{shard}"),
        labels=for_train("labels/{round}/{shard}"),
    output:
        scores=f"{RESULTS}/evaluation/labels-{{round}}.json",
    log:
        f"{LOGS}/evaluation/labels-{{round}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/labels-{{round}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        labels=lambda wildcards, input: list_files("labels", input.labels),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: labels of round {wildcards.round} on train"
    shell:
        "python -m pseudogt.stages.evaluation --subject labels-{wildcards.round} "
        "{params.ground_truth} {params.labels} --threads {threads} "
        "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


rule evaluation_model:
    input:
        ground_truth=for_val("ground_truth/{shard}"),
        predictions=for_val("predictions/{round}/{shard}"),
    output:
        scores=f"{RESULTS}/evaluation/model-{{round}}.json",
    log:
        f"{LOGS}/evaluation/model-{{round}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/model-{{round}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        predictions=lambda wildcards, input: list_files("labels", input.predictions),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: model of round {wildcards.round} on val"
    shell:
        "python -m pseudogt.stages.evaluation --subject model-{wildcards.round} --scored "
        "{params.ground_truth} {params.predictions} --threads {threads} "
        "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


rule evaluation_reference:
    input:
        ground_truth=for_val("ground_truth/{shard}"),
        predictions=for_val("reference_predictions/{shard}"),
    output:
        scores=f"{RESULTS}/evaluation/reference.json",
    log:
        f"{LOGS}/evaluation/reference.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/reference.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        predictions=lambda wildcards, input: list_files("labels", input.predictions),
        settings=settings("evaluation"),
        code=code("evaluation"),
    message:
        "evaluation: model trained on full labels, on val"
    shell:
        "python -m pseudogt.stages.evaluation --subject reference --scored "
        "{params.ground_truth} {params.predictions} --threads {threads} "
        "--out {output.scores:q} --settings {params.settings:q} 2> {log:q}"


# Without ground truth there are no scores: the summary says so by null, never by 0.
rule evaluation:
    input:
        stages=with_truth(f"{RESULTS}/evaluation/{stage}.json" for stage in FIRST_STAGES),
        labels=with_truth(f"{RESULTS}/evaluation/labels-{r}.json" for r in range(CONFIG.rounds.max)),
        last_labels=with_truth([f"{RESULTS}/evaluation/labels-{CONFIG.rounds.max}.json"]),
        models=with_truth(f"{RESULTS}/evaluation/model-{r}.json" for r in range(CONFIG.rounds.max)),
        records=with_truth(f"{RESULTS}/segmenter/{r}/record.json" for r in range(CONFIG.rounds.max)),
        reference=with_truth([rules.evaluation_reference.output.scores]),
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
        mem_mb=memory("evaluation", ALL_IMAGES),
        runtime=minutes("evaluation", ALL_IMAGES),
    params:
        dataset=CONFIG.name,
        supervision=describe_supervision(),
        reference=lambda wildcards, input: flag("reference-scores", input.reference),
        benchmarks=BENCHMARKS,
        code=code("evaluation"),
    message:
        "evaluation: summary of the run"
    shell:
        "python -m pseudogt.stages.evaluation --summary --dataset {params.dataset:q} "
        "--supervision {params.supervision:q} --label-scores {input.labels:q} --model-scores {input.models:q} "
        "--records {input.records:q} --stage-scores {input.stages:q} {input.last_labels:q} "
        "{params.reference} --benchmarks {params.benchmarks:q} "
        "--out {output.summary:q} 2> {log:q}"


rule report:
    input:
        summary=rules.evaluation.output.summary,
        shards=for_train("index/{shard}.json") + for_val("index/{shard}.json"),
        ground_truth=with_truth(for_train("ground_truth/{shard}") + for_val("ground_truth/{shard}")),
        weak_labels=for_train("weak_labels/{shard}.json"),
        full_labels=for_train("full_labels/{shard}") if HAS_FULL_LABELS else [],
        cams=for_train("cams/{shard}.h5") if CONFIG.method == "wsps" else [],
        box_masks=for_train("box_masks/{shard}") if CONFIG.method == "wsps" else [],
        mined=for_train("mined/{shard}") + for_val("mined/{shard}") if CONFIG.method == "jtsm" else [],
        labels_first=for_train("labels/0/{shard}"),
        labels_last=for_train(f"labels/{CONFIG.rounds.max}/{{shard}}"),
        predictions=for_train(f"predictions/{LAST_ROUND}/{{shard}}")
        + for_val(f"predictions/{LAST_ROUND}/{{shard}}"),
        reference_predictions=with_truth(for_val("reference_predictions/{shard}")),
        scores=with_truth([f"{RESULTS}/evaluation/model-{LAST_ROUND}.json"]),
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
        mem_mb=memory("report", ALL_IMAGES),
        runtime=minutes("report", ALL_IMAGES),
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        ground_truth=lambda wildcards, input: list_files("ground-truth", input.ground_truth),
        weak_labels=lambda wildcards, input: list_files("weak-labels", input.weak_labels),
        full_labels=lambda wildcards, input: list_files("full-labels", input.full_labels),
        cams=lambda wildcards, input: list_files("cams", input.cams),
        box_masks=lambda wildcards, input: list_files("box-masks", input.box_masks),
        mined=lambda wildcards, input: list_files("mined", input.mined),
        labels_first=lambda wildcards, input: list_files("labels-first", input.labels_first),
        labels_last=lambda wildcards, input: list_files("labels-last", input.labels_last),
        predictions=lambda wildcards, input: list_files("predictions", input.predictions),
        reference_predictions=lambda wildcards, input: list_files(
            "reference-predictions", input.reference_predictions
        ),
        scores=lambda wildcards, input: flag("scores", input.scores),
        settings=settings("report"),
        code=code("report"),
    message:
        "report: figures and pages"
    shell:
        "python -m pseudogt.stages.report --summary {input.summary:q} {params.shards} "
        "{params.ground_truth} {params.cams} {params.box_masks} "
        "{params.mined} {params.weak_labels} {params.full_labels} "
        "{params.labels_first} {params.labels_last} "
        "{params.predictions} {params.reference_predictions} "
        "{params.scores} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


# The model and the images are parameters, not inputs, so that this works without the run that made them.
rule predict:
    output:
        folder=directory(CONFIG.predict_to),
    log:
        "logs/predict.log",
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        gpu=min(CONFIG.gpus, 1),
    params:
        images=CONFIG.images,
        model=PREDICT_MODEL,
        content=describe_predict_inputs(),
        settings=settings("predictions"),
        code=code("predict"),
    message:
        f"predict: label the images in {CONFIG.images}"
    shell:
        "python -m pseudogt.stages.predict --images {params.images:q} --model {params.model:q} "
        "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


# Predictions, scores and checkpoints of all rounds; labels, models, figures and exports stay.
rule clean_rounds:
    log:
        f"{LOGS}/clean_rounds.log",
    conda:
        "../envs/pseudogt.yaml"
    params:
        folders=[f"{RESULTS}/predictions", f"{RESULTS}/reference_predictions", f"{RESULTS}/scratch"],
    message:
        "clean_rounds: remove what can be made again from labels and models"
    shell:
        "rm -rf {params.folders:q} > {log:q} 2>&1"
