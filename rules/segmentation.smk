rule segmenter_round:
    input:
        PLAN.find_network_check("segmenter"),
        shards=PLAN.list_train("index/{shard}.json"),
        weak_labels=PLAN.list_train("weak_labels/{shard}.json"),
        labels=PLAN.list_train("labels/{round}/{shard}"),
        full_labels=PLAN.list_full_labels(),
        init=lambda wildcards: PLAN.find_initial_model(int(wildcards.round)),
        earlier_records=lambda wildcards: PLAN.list_records(int(wildcards.round)),
    output:
        model=f"{RESULTS}/segmenter/{{round}}/model.pt",
        record=f"{RESULTS}/segmenter/{{round}}/record.json",
    log:
        f"{LOGS}/segmenter/{{round}}.log",
    benchmark:
        f"{BENCHMARKS}/segmenter/{{round}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: count_training_threads("segmenter")
    resources:
        mem_mb=limit_training_memory("segmenter"),
        runtime=limit_training_time("segmenter"),
        gpu=CONFIG.gpus,
    params:
        inputs=pass_inputs,
        launcher=LAUNCHER,
        out=subpath(output.model, parent=True),
        scratch=lambda wildcards: f"{RESULTS}/scratch/segmenter-{wildcards.round}",
        rounds=lambda wildcards: json.dumps(PLAN.describe_rounds(int(wildcards.round)), sort_keys=True),
        settings=dump_settings("segmenter"),
        code=digest_code("segmenter"),
    message:
        f"segmenter: train round {{wildcards.round}} of at most {CONFIG.rounds.max}, counted from 0"
    shell:
        "{params.launcher} -m pseudogt.stages.segmenter {params.inputs} "
        "--round {wildcards.round} --rounds {params.rounds:q} --out {params.out:q} "
        "--scratch {params.scratch:q} --cores {threads} --settings {params.settings:q} 2> {log:q}"


rule segmenter:
    input:
        f"{RESULTS}/segmenter/{PLAN.last_round}/model.pt",


rule predictions_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        model=f"{RESULTS}/segmenter/{{round}}/model.pt",
        record=f"{RESULTS}/segmenter/{{round}}/record.json",
        # Labels, then scores.
        previous=lambda wildcards: [
            path
            for pattern in ("predictions/{round}/{shard}", "predictions/{round}/{shard}.h5")
            for path in PLAN.find_previous(pattern, int(wildcards.round), wildcards.shard)
        ],
    output:
        folder=remove_after_use(directory(f"{RESULTS}/predictions/{{round}}/{{shard}}")),
        scores=remove_after_use(f"{RESULTS}/predictions/{{round}}/{{shard}}.h5"),
    log:
        f"{LOGS}/predictions/{{round}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/predictions/{{round}}/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"train-\d+",
    conda:
        "../envs/pseudogt.yaml"
    threads: CORES_PER_GPU
    resources:
        mem_mb=limit_memory("predictions"),
        runtime=limit_time("predictions"),
        gpu=min(CONFIG.gpus, 1),
    params:
        inputs=pass_inputs,
        scores=lambda wildcards, output: pass_files_if_any("scores", output.get("scores", [])),
        settings=dump_settings("predictions"),
        code=digest_code("predictions"),
    message:
        "predictions: round {wildcards.round}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.predictions {params.inputs} --out {output.folder:q} {params.scores} "
        "--settings {params.settings:q} 2> {log:q}"


# Without weak labels: scored predictions must not depend on tags.
use rule predictions_shard as predictions_val_shard with:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        model=f"{RESULTS}/segmenter/{{round}}/model.pt",
        record=f"{RESULTS}/segmenter/{{round}}/record.json",
        previous=lambda wildcards: PLAN.find_previous(
            "predictions/{round}/{shard}", int(wildcards.round), wildcards.shard
        ),
    output:
        folder=directory(f"{RESULTS}/predictions/{{round}}/{{shard}}"),
    wildcard_constraints:
        shard=r"val-\d+",


rule predictions:
    input:
        PLAN.list_val(f"predictions/{PLAN.last_round}/{{shard}}"),
        PLAN.list_train(f"predictions/{PLAN.last_round}/{{shard}}"),


rule reference:
    input:
        PLAN.find_network_check("segmenter"),
        shards=PLAN.list_train("index/{shard}.json"),
        weak_labels=PLAN.list_train("weak_labels/{shard}.json"),
        labels=PLAN.list_train("ground_truth/{shard}"),
        records=PLAN.list_records(CONFIG.rounds.max),
    output:
        model=f"{RESULTS}/reference/model.pt",
        record=f"{RESULTS}/reference/record.json",
    log:
        f"{LOGS}/reference.log",
    benchmark:
        f"{BENCHMARKS}/reference.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: count_training_threads("segmenter")
    resources:
        mem_mb=limit_training_memory("segmenter"),
        runtime=limit_training_time("segmenter", CONFIG.rounds.max),
        gpu=CONFIG.gpus,
    params:
        inputs=pass_inputs,
        launcher=LAUNCHER,
        out=subpath(output.model, parent=True),
        scratch=f"{RESULTS}/scratch/reference",
        rounds=json.dumps({"init": CONFIG.rounds.init}),
        settings=dump_settings("segmenter"),
        code=digest_code("reference"),
    message:
        "reference: train the same network on full labels, as long as all rounds together"
    shell:
        "{params.launcher} -m pseudogt.stages.reference {params.inputs} "
        "--rounds {params.rounds:q} --out {params.out:q} --scratch {params.scratch:q} --cores {threads} "
        "--settings {params.settings:q} 2> {log:q}"


use rule predictions_shard as reference_predictions_shard with:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        model=rules.reference.output.model,
    output:
        folder=directory(f"{RESULTS}/reference_predictions/{{shard}}"),
    log:
        f"{LOGS}/reference_predictions/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/reference_predictions/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"val-\d+",
    message:
        "reference_predictions: {wildcards.shard}"
