# The settings of section `export` that decide the content of a set.
EXPORT_SETTINGS = CONFIG.export.model_dump_json(exclude={"formats", "source", "round", "split"})


rule export_shard:
    input:
        CONFIG.export.only or [],
        shard=f"{RESULTS}/index/{{shard}}.json",
        labels=lambda wildcards: PLAN.find_exported(wildcards.subject, wildcards.shard),
    output:
        folder=temp(directory(f"{RESULTS}/export_shards/{{subject}}/{{format}}/{{shard}}")),
    log:
        f"{LOGS}/export/{{subject}}/{{format}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/export/{{subject}}/{{format}}/{{shard}}.tsv"
    wildcard_constraints:
        subject=EXPORT_PATTERN,
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("export"),
        runtime=limit_time("export"),
    params:
        inputs=pass_inputs,
        settings=EXPORT_SETTINGS,
        code=lambda wildcards: digest_code("export", export_format=wildcards.format),
    message:
        "export: {wildcards.subject} as {wildcards.format}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.export shard --format {wildcards.format} {params.inputs} "
        "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule export_set:
    input:
        shards=lambda wildcards: PLAN.list_exported(wildcards.subject, "index/{shard}.json"),
        parts=lambda wildcards: PLAN.list_exported(
            wildcards.subject, f"export_shards/{wildcards.subject}/{wildcards.format}/{{shard}}"
        ),
        weak_labels=PLAN.list_marked(),
    output:
        folder=directory(f"{RESULTS}/export/{{subject}}/{{format}}"),
    log:
        f"{LOGS}/export/{{subject}}/{{format}}.log",
    benchmark:
        f"{BENCHMARKS}/export/{{subject}}/{{format}}.tsv"
    wildcard_constraints:
        subject=EXPORT_PATTERN,
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("export", PLAN.image_count),
        runtime=limit_time("export", PLAN.image_count),
    params:
        inputs=pass_inputs,
        provenance=lambda wildcards: json.dumps(
            describe_provenance(CONFIG, wildcards.subject, GIVEN.full_label_ids), sort_keys=True
        ),
        settings=EXPORT_SETTINGS,
        code=lambda wildcards: digest_code("export", export_format=wildcards.format),
    message:
        "export: {wildcards.subject} as {wildcards.format}"
    shell:
        "python -m pseudogt.stages.export merge --format {wildcards.format} {params.inputs} "
        "--provenance {params.provenance:q} --out {output.folder:q} "
        "--settings {params.settings:q} 2> {log:q}"


rule export:
    input:
        [f"{RESULTS}/export/{PLAN.export_subject}/{format}" for format in CONFIG.export.formats],
