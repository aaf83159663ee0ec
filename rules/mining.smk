# Tags and proposals in, labels of round 0 out: what `method: jtsm` has in place of CAMs and box masks.
rule mining:
    input:
        shards=for_train("index/{shard}.json"),
        weak_labels=for_train("weak_labels/{shard}.json"),
        proposals=for_train("proposals/{shard}.h5"),
        weights=get_mining_weights(),
        # Weak labels that were given are of training images only.
        val_shards=[] if WEAK_LABELS_GIVEN else for_val("index/{shard}.json"),
        val_weak_labels=[] if WEAK_LABELS_GIVEN else for_val("weak_labels/{shard}.json"),
        val_proposals=[] if WEAK_LABELS_GIVEN else for_val("proposals/{shard}.h5"),
    output:
        model=f"{RESULTS}/mining/model.pt",
        record=f"{RESULTS}/mining/record.json",
    log:
        f"{LOGS}/mining.log",
    benchmark:
        f"{BENCHMARKS}/mining.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=grow(12000),
        runtime=grow(1440),
        gpu=CONFIG.gpus,
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        weak_labels=lambda wildcards, input: list_files("weak-labels", input.weak_labels),
        proposals=lambda wildcards, input: list_files("proposals", input.proposals),
        launcher=LAUNCHER,
        weights=lambda wildcards, input: flag("weights", input.weights),
        val=lambda wildcards, input: " ".join(
            flag(f"val-{name}", input[f"val_{name.replace('-', '_')}"])
            for name in ("shards", "weak-labels", "proposals")
        ),
        out=subpath(output.model, parent=True),
        scratch=f"{RESULTS}/scratch/mining",
        settings=settings("mining"),
        code=code("mining"),
    message:
        "mining: learn from tags which proposals are what"
    shell:
        "{params.launcher} -m pseudogt.stages.mining {params.shards} "
        "{params.weak_labels} {params.proposals} {params.weights} "
        "{params.val} --out {params.out:q} --scratch {params.scratch:q} --settings {params.settings:q} 2> {log:q}"


rule mined_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        weak_labels=f"{RESULTS}/weak_labels/{{shard}}.json",
        proposals=f"{RESULTS}/proposals/{{shard}}.h5",
        model=rules.mining.output.model,
    output:
        folder=directory(f"{RESULTS}/mined/{{shard}}"),
        scores=f"{RESULTS}/mined/{{shard}}.h5",
    log:
        f"{LOGS}/mined/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/mined/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"train-\d+",
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=grow(6000),
        runtime=grow(120),
        gpu=min(CONFIG.gpus, 1),
    params:
        settings=settings("mined"),
        code=code("mined"),
    message:
        "mined: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.mined --shard {input.shard:q} --weak-labels {input.weak_labels:q} "
        "--proposals {input.proposals:q} --model {input.model:q} --out {output.folder:q} "
        "--scores {output.scores:q} --settings {params.settings:q} 2> {log:q}"


# Without weak labels: what is scored must not have seen a tag.
rule mined_val_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        proposals=f"{RESULTS}/proposals/{{shard}}.h5",
        model=rules.mining.output.model,
    output:
        folder=directory(f"{RESULTS}/mined/{{shard}}"),
    log:
        f"{LOGS}/mined/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/mined/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"val-\d+",
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=grow(6000),
        runtime=grow(120),
        gpu=min(CONFIG.gpus, 1),
    params:
        settings=settings("mined"),
        code=code("mined"),
    message:
        "mined: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.mined --shard {input.shard:q} --proposals {input.proposals:q} "
        "--model {input.model:q} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule mined:
    input:
        for_train("mined/{shard}"),
        for_val("mined/{shard}"),
