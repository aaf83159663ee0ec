if CONFIG.dataset.format == "streets":

    rule streets:
        output:
            folder=directory(f"{RESULTS}/streets"),
        log:
            f"{LOGS}/streets.log",
        benchmark:
            f"{BENCHMARKS}/streets.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("streets"),
            runtime=limit_time("streets", PLAN.image_count),
        params:
            settings=dump_settings("streets"),
            code=digest_code("streets"),
        message:
            "streets: draw the embedded street scenes"
        shell:
            "python -m pseudogt.stages.streets --out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


STREETS = rules.streets.output.folder if CONFIG.dataset.format == "streets" else []


# Before anything else, so that a wrong name does not stop a training hours later.
rule backbone_of_section:
    input:
        weights=lambda wildcards: PLAN.find_initial_weights(wildcards.section),
    output:
        facts=f"{RESULTS}/backbones/{{section}}.json",
    log:
        f"{LOGS}/backbones/{{section}}.log",
    benchmark:
        f"{BENCHMARKS}/backbones/{{section}}.tsv"
    wildcard_constraints:
        section="classifier|mining|segmenter",
    priority: 1
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        # This loads a network, like the trainings.
        mem_mb=limit_memory("cams"),
        runtime=limit_time("cams", 1),
    params:
        settings=lambda wildcards: list_initial_networks(CONFIG)[wildcards.section].model_dump_json(),
        code=digest_code("backbones"),
    message:
        "backbones: look up the network of {wildcards.section}"
    shell:
        "python -m pseudogt.stages.backbones --section {wildcards.section:q} --settings {params.settings:q} "
        "--out {output.facts:q} 2> {log:q}"


rule backbones:
    input:
        [path for section in list_initial_networks(CONFIG) for path in PLAN.find_network_check(section)],


# The list of images is a parameter, so a shard is reread if its own list has changed.
rule index_shard:
    input:
        streets=STREETS,
    output:
        shard=f"{RESULTS}/index/{{shard}}.json",
    log:
        f"{LOGS}/index/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/index/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    resources:
        mem_mb=limit_memory("index"),
        runtime=limit_time("index"),
    params:
        # No function of the input, whose changes Snakemake would not notice.
        data_root=lambda wildcards: PLAN.data_root,
        image_ids=lambda wildcards: json.dumps(SHARDS[wildcards.shard]),
        settings=dump_settings("dataset"),
        code=digest_code("index"),
    message:
        "index: read every image of {wildcards.shard} once"
    shell:
        "python -m pseudogt.stages.index --data-root {params.data_root:q} "
        "--image-ids {params.image_ids:q} --out {output.shard:q} --threads {threads} "
        "--settings {params.settings:q} 2> {log:q}"


rule index:
    input:
        [f"{RESULTS}/index/{shard}.json" for shard in SHARDS],


rule ground_truth_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
    output:
        folder=directory(f"{RESULTS}/ground_truth/{{shard}}"),
    log:
        f"{LOGS}/ground_truth/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/ground_truth/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("ground_truth"),
        runtime=limit_time("ground_truth"),
    params:
        inputs=pass_inputs,
        data_root=PLAN.data_root,
        settings=dump_settings("dataset"),
        code=digest_code("ground_truth"),
    message:
        "ground_truth: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.ground_truth {params.inputs} --data-root {params.data_root:q} "
        "--out {output.folder:q} --settings {params.settings:q} 2> {log:q}"


rule ground_truth:
    input:
        PLAN.list_all("ground_truth/{shard}"),


# The objects against which detections are scored: the things of the ground truth, or boxes if a dataset has only these.
rule objects_shard:
    input:
        shard=f"{RESULTS}/index/{{shard}}.json",
        ground_truth=PLAN.keep_if_scored([f"{RESULTS}/ground_truth/{{shard}}"]),
    output:
        objects=f"{RESULTS}/objects/{{shard}}.json",
    log:
        f"{LOGS}/objects/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/objects/{{shard}}.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("ground_truth"),
        runtime=limit_time("ground_truth"),
    params:
        inputs=pass_inputs,
        data_root=lambda wildcards, input: (
            "" if input.ground_truth else pass_files("data-root", [PLAN.data_root])
        ),
        settings=dump_settings("dataset"),
        code=digest_code("objects"),
    message:
        "objects: {wildcards.shard}"
    shell:
        "python -m pseudogt.stages.objects {params.inputs} {params.data_root} --out {output.objects:q} "
        "--settings {params.settings:q} 2> {log:q}"


if not CONFIG.has_given_weak_labels:

    rule weak_labels_shard:
        input:
            shard=f"{RESULTS}/index/{{shard}}.json",
            ground_truth=f"{RESULTS}/ground_truth/{{shard}}",
        output:
            weak_labels=GIVEN_WEAK_LABELS,
        log:
            f"{LOGS}/weak_labels/{{shard}}.log",
        benchmark:
            f"{BENCHMARKS}/weak_labels/{{shard}}.tsv"
        conda:
            "../envs/pseudogt.yaml"
        threads: 1
        resources:
            mem_mb=limit_memory("weak_labels"),
            runtime=limit_time("weak_labels"),
        params:
            inputs=pass_inputs,
            settings=dump_settings("weak_labels"),
            code=digest_code("weak_labels"),
        message:
            "weak_labels: {wildcards.shard}"
        shell:
            "python -m pseudogt.stages.weak_labels derive {params.inputs} --out {output.weak_labels:q} "
            "--settings {params.settings:q} 2> {log:q}"


rule weak_labels:
    input:
        weak_labels=PLAN.list_train("weak_labels/{shard}.json"),
    output:
        weak_labels=f"{RESULTS}/weak_labels.json",
    log:
        f"{LOGS}/weak_labels.log",
    benchmark:
        f"{BENCHMARKS}/weak_labels.tsv"
    conda:
        "../envs/pseudogt.yaml"
    threads: 1
    resources:
        mem_mb=limit_memory("weak_labels", PLAN.image_count),
        runtime=limit_time("weak_labels", PLAN.image_count),
    params:
        inputs=pass_inputs,
        things="--locate-things" if CONFIG.needs_located_things else "",
        code=digest_code("weak_labels"),
    message:
        "weak_labels: all training images in one file"
    shell:
        "python -m pseudogt.stages.weak_labels merge {params.inputs} {params.things} --out {output.weak_labels:q} "
        "2> {log:q}"


rule check:
    input:
        streets=STREETS,
    log:
        f"{LOGS}/check.log",
    conda:
        "../envs/pseudogt.yaml"
    threads: CONFIG.threads
    params:
        data_root=lambda wildcards: PLAN.data_root,
        out=f"{RESULTS}/check.json",
        settings=json.dumps(CONFIG.model_dump(mode="json"), sort_keys=True),
    message:
        "check: read the dataset and list its problems"
    shell:
        "python -m pseudogt.stages.check --data-root {params.data_root:q} --out {params.out:q} "
        "--threads {threads} "
        "--settings {params.settings:q} 2>&1 | tee {log:q}"
