rule export_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        labels=get_export_labels,
        only=CONFIG.export.only or [],
    output:
        folder=temp(directory(f"{RESULTS}/export_shards/{{subject}}/{{format}}/{{shard}}")),
    log:
        f"{LOGS}/export/{{subject}}/{{format}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/export/{{subject}}/{{format}}/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("export"),
        runtime=minutes("export"),
    params:
        settings=export_settings(),
        code=code("export"),
    message:
        "export: {wildcards.subject} as {wildcards.format}, {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.export shard --format {wildcards.format} --shard {input.shard:q} "
        "--labels {input.labels:q} --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule export_set:
    input:
        shards=lambda wildcards: for_subject("index/{shard}.json", wildcards.subject),
        parts=lambda wildcards: for_subject(
            f"export_shards/{wildcards.subject}/{wildcards.format}/{{shard}}", wildcards.subject
        ),
    output:
        folder=directory(f"{RESULTS}/export/{{subject}}/{{format}}"),
    log:
        f"{LOGS}/export/{{subject}}/{{format}}.log",
    benchmark:
        f"{BENCHMARKS}/export/{{subject}}/{{format}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=memory("export", ALL_IMAGES),
        runtime=minutes("export", ALL_IMAGES),
    params:
        shards=lambda wildcards, input: list_files("shards", input.shards),
        parts=lambda wildcards, input: list_files("parts", input.parts),
        provenance=describe_provenance,
        settings=export_settings(),
        code=code("export"),
    message:
        "export: {wildcards.subject} as {wildcards.format}"
    shell:
        "python -m pseudogt.stages.export merge --format {wildcards.format} {params.shards} "
        "{params.parts} --provenance {params.provenance:q} --out {output.folder:q} "
        "--settings {params.settings:q} 2> {log:q}"


rule export:
    input:
        [f"{RESULTS}/export/{EXPORT_SUBJECT}/{format}" for format in CONFIG.export.formats],
