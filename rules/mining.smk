# From tags and proposals to labels of round 0: with `method: jtsm`, this replaces CAMs and box masks.
rule mining:
    input:
        PLAN.find_network_check("mining"),
        shards=PLAN.list_train("index/{shard}.json"),
        weak_labels=PLAN.list_train("weak_labels/{shard}.json"),
        proposals=PLAN.list_train("proposals/{shard}.h5"),
        weights=PLAN.find_mining_weights(),
        # Given weak labels exist for training images only.
        val_shards=PLAN.list_measured_val("index/{shard}.json"),
        val_weak_labels=PLAN.list_measured_val("weak_labels/{shard}.json"),
        val_proposals=PLAN.list_measured_val("proposals/{shard}.h5"),
    output:
        model=f"{RESULTS}/mining/model.pt",
        record=f"{RESULTS}/mining/record.json",
    log:
        f"{LOGS}/mining.log",
    benchmark:
        f"{BENCHMARKS}/mining.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: count_training_threads("mining", SEGMENTING_CORES)
    resources:
        mem_mb=limit_training_memory("mining"),
        runtime=limit_training_time("mining"),
        gpu=CONFIG.gpus,
    params:
        inputs=pass_inputs,
        launcher=LAUNCHER,
        out=subpath(output.model, parent=True),
        scratch=f"{RESULTS}/scratch/mining",
        evidence=EVIDENCE,
        settings=dump_settings("mining"),
        code=digest_code("mining"),
    message:
        "mining: learn the classes of proposals from tags"
    shell:
        "{params.launcher} -m pseudogt.stages.mining {params.inputs} "
        "--out {params.out:q} --scratch {params.scratch:q} --cores {threads} --evidence {params.evidence:q} "
        "--settings {params.settings:q} 2> {log:q}"


# Not an input of mining, which looks for the masks in the store.
rule evidence_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        proposals=f"{RESULTS}/proposals/{{shard}}.h5",
        classifier=PLAN.find_ranking_classifier(),
    output:
        counts=f"{RESULTS}/evidence/{{shard}}.json",
    log:
        f"{LOGS}/evidence/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/evidence/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=limit_memory("evidence"),
        runtime=limit_time("evidence"),
    params:
        boxes=count_boxes_ahead(CONFIG.mining),
        inputs=pass_inputs,
        evidence=EVIDENCE,
        settings=dump_settings("mining"),
        code=digest_code("evidence"),
    message:
        "evidence: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.evidence {params.inputs} --boxes {params.boxes:q} --evidence {params.evidence:q} "
        "--out {output.counts:q} --cores {threads} --settings {params.settings:q} 2> {log:q}"


rule evidence:
    input:
        PLAN.list_train("evidence/{shard}.json"),


rule mined_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        proposals=f"{RESULTS}/proposals/{{shard}}.h5",
        model=rules.mining.output.model,
    output:
        folder=directory(f"{RESULTS}/mined/{{shard}}"),
        scores=f"{RESULTS}/mined/{{shard}}.h5",
        detections=f"{RESULTS}/detections/{{shard}}.json",
    log:
        f"{LOGS}/mined/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/mined/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"train-\d+",
    conda:
        "../envs/pseudogt.yaml"
    threads: CORES_PER_GPU
    resources:
        mem_mb=limit_memory("mined"),
        runtime=limit_time("mined"),
        gpu=min(CONFIG.gpus, 1),
    params:
        inputs=pass_inputs,
        scores=lambda wildcards, output: pass_files_if_any("scores", output.get("scores", [])),
        settings=dump_settings("mined"),
        code=digest_code("mined"),
    message:
        "mined: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.mined {params.inputs} --out {output.folder:q} {params.scores} "
        "--detections {output.detections:q} --settings {params.settings:q} 2> {log:q}"


# Without weak labels: scored predictions must not depend on tags.
use rule mined_shard as mined_val_shard with:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        proposals=f"{RESULTS}/proposals/{{shard}}.h5",
        model=rules.mining.output.model,
    output:
        folder=directory(f"{RESULTS}/mined/{{shard}}"),
        detections=f"{RESULTS}/detections/{{shard}}.json",
    wildcard_constraints:
        shard=r"val-\d+",


rule mined:
    input:
        PLAN.list_train("mined/{shard}"),
        PLAN.list_val("mined/{shard}"),
