rule proposals_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
    output:
        proposals=f"{RESULTS}/proposals/{{shard}}.h5",
    log:
        f"{LOGS}/proposals/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/proposals/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("proposals"),
        runtime=limit_time("proposals"),
    params:
        inputs=pass_inputs,
        settings=dump_settings("proposals"),
        code=digest_code("proposals"),
        weights=GIVEN.weights["proposals"],
    message:
        "proposals: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.proposals {params.inputs} --out {output.proposals:q} "
        "--settings {params.settings:q} 2> {log:q}"


rule proposals:
    input:
        PLAN.list_train("proposals/{shard}.h5"),
