process WSINUCSSL_SEGMENT {
    tag "$meta.id"
    label 'process_medium'

    container 'wsi-nucssl:cpu'

    input:
    tuple val(meta), path(slide)

    output:
    tuple val(meta), path("*.geojson.gz"), emit: nuclei
    tuple val(meta), path("*.run/summary.json"), emit: summary
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def prefix = task.ext.prefix ?: "${meta.id}"
    """
    wsi-nucssl segment ${slide} --output ${prefix}.geojson.gz --workers ${task.cpus} --quiet ${args}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        wsi-nucssl: \$(wsi-nucssl --version)
    END_VERSIONS
    """

    stub:
    def prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo '{"type": "FeatureCollection", "features": []}' | gzip -n > ${prefix}.geojson.gz
    mkdir ${prefix}.geojson.gz.run
    echo '{}' > ${prefix}.geojson.gz.run/summary.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        wsi-nucssl: stub
    END_VERSIONS
    """
}
