// nextflow run docs/cluster/nextflow --slides 'slides/*.svs' -resume

include { WSINUCSSL_SEGMENT } from './wsinucssl/segment/main'

workflow {
    slides = channel.fromPath(params.slides, checkIfExists: true).map { slide -> [[id: slide.baseName], slide] }
    WSINUCSSL_SEGMENT(slides)
}
