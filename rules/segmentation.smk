rule segmenter_round:
    input:
        shards=for_train("index/{shard}.json"),
        weak_labels=for_train("weak_labels/{shard}.json"),
        labels=for_train("labels/{round}/{shard}"),
        init=get_initial_model,
        earlier=get_earlier_records,
    output:
        model=f"{RESULTS}/segmenter/{{round}}/model.pt",
        record=f"{RESULTS}/segmenter/{{round}}/record.json",
    log:
        f"{LOGS}/segmenter/{{round}}.log",
    benchmark:
        f"{BENCHMARKS}/segmenter/{{round}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=training_memory("segmenter"),
        runtime=training_minutes("segmenter"),
        gpu=CONFIG.gpus,
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        weak_labels=lambda wildcards, input: list_files("weak-labels", input.weak_labels),
        labels=lambda wildcards, input: list_files("labels", input.labels),
        launcher=LAUNCHER,
        init=lambda wildcards, input: flag("init", input.init),
        earlier=lambda wildcards, input: flag("earlier-records", input.earlier),
        out=subpath(output.model, parent=True),
        scratch=lambda wildcards: f"{RESULTS}/scratch/segmenter-{wildcards.round}",
        rounds=round_settings,
        settings=settings("segmenter"),
        code=code("segmenter"),
    message:
        f"segmenter: train round {{wildcards.round}} of at most {CONFIG.rounds.max}, counted from 0"
    shell:
        "{params.launcher} -m pseudogt.stages.segmenter {params.shards} "
        "{params.weak_labels} {params.labels} {params.init} {params.earlier} "
        "--round {wildcards.round} --rounds {params.rounds:q} --out {params.out:q} "
        "--scratch {params.scratch:q} --settings {params.settings:q} 2> {log:q}"


rule segmenter:
    input:
        f"{RESULTS}/segmenter/{LAST_ROUND}/model.pt",


rule predictions_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        model=f"{RESULTS}/segmenter/{{round}}/model.pt",
        record=f"{RESULTS}/segmenter/{{round}}/record.json",
        previous=get_previous("predictions/{round}/{shard}"),
        previous_scores=get_previous("predictions/{round}/{shard}.h5"),
    output:
        folder=passing(directory(f"{RESULTS}/predictions/{{round}}/{{shard}}")),
        scores=passing(f"{RESULTS}/predictions/{{round}}/{{shard}}.h5"),
    log:
        f"{LOGS}/predictions/{{round}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/predictions/{{round}}/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"train-\d+",
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory("predictions"),
        runtime=minutes("predictions"),
        gpu=min(CONFIG.gpus, 1),
    params:
        previous=lambda wildcards, input: flag("previous", [*input.previous, *input.previous_scores]),
        settings=settings("predictions"),
        code=code("predictions"),
    message:
        "predictions: round {wildcards.round}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.predictions --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
        "--model {input.model:q} --record {input.record:q} {params.previous} --out {output.folder:q} "
        "--scores {output.scores:q} --settings {params.settings:q} 2> {log:q}"


# Without weak labels: what is scored must not have seen a tag.
rule predictions_val_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        model=f"{RESULTS}/segmenter/{{round}}/model.pt",
        record=f"{RESULTS}/segmenter/{{round}}/record.json",
        previous=get_previous("predictions/{round}/{shard}"),
    output:
        folder=directory(f"{RESULTS}/predictions/{{round}}/{{shard}}"),
    log:
        f"{LOGS}/predictions/{{round}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/predictions/{{round}}/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"val-\d+",
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory("predictions"),
        runtime=minutes("predictions"),
        gpu=min(CONFIG.gpus, 1),
    params:
        previous=lambda wildcards, input: flag("previous", input.previous),
        settings=settings("predictions"),
        code=code("predictions"),
    message:
        "predictions: round {wildcards.round}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.predictions --shard {input.shard:q} --model {input.model:q} "
        "--record {input.record:q} {params.previous} --out {output.folder:q} "
        "--settings {params.settings:q} 2> {log:q}"


rule predictions:
    input:
        for_val(f"predictions/{LAST_ROUND}/{{shard}}"),
        for_train(f"predictions/{LAST_ROUND}/{{shard}}"),


rule reference:
    input:
        shards=for_train("index/{shard}.json"),
        weak_labels=for_train("weak_labels/{shard}.json"),
        labels=for_train("ground_truth/{shard}"),
        records=[f"{RESULTS}/segmenter/{r}/record.json" for r in range(CONFIG.rounds.max)],
    output:
        model=f"{RESULTS}/reference/model.pt",
        record=f"{RESULTS}/reference/record.json",
    log:
        f"{LOGS}/reference.log",
    benchmark:
        f"{BENCHMARKS}/reference.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=training_memory("segmenter"),
        runtime=training_minutes("segmenter", CONFIG.rounds.max),
        gpu=CONFIG.gpus,
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        weak_labels=lambda wildcards, input: list_files("weak-labels", input.weak_labels),
        labels=lambda wildcards, input: list_files("labels", input.labels),
        launcher=LAUNCHER,
        out=subpath(output.model, parent=True),
        scratch=f"{RESULTS}/scratch/reference",
        rounds=json.dumps({"init": CONFIG.rounds.init}),
        settings=settings("segmenter"),
        code=code("reference"),
    message:
        "reference: train the same network on full labels, as long as all rounds together"
    shell:
        "{params.launcher} -m pseudogt.stages.reference {params.shards} "
        "{params.weak_labels} {params.labels} --records {input.records:q} "
        "--rounds {params.rounds:q} --out {params.out:q} --scratch {params.scratch:q} "
        "--settings {params.settings:q} 2> {log:q}"


rule reference_predictions_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        model=rules.reference.output.model,
    output:
        folder=directory(f"{RESULTS}/reference_predictions/{{shard}}"),
    log:
        f"{LOGS}/reference_predictions/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/reference_predictions/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=memory("predictions"),
        runtime=minutes("predictions"),
        gpu=min(CONFIG.gpus, 1),
    params:
        settings=settings("predictions"),
        code=code("predictions"),
    message:
        "reference_predictions: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.predictions --shard {input.shard:q} --model {input.model:q} "
        "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"
