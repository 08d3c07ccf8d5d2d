"""Learning an encoder from tiles without a label: the paper's task and its rivals, one module each.

`tasks.build_task` gives a `PretextTask` by name, `sources.open_source` endless tiles, `batches.PretextBatches` the two
together; `wsi_nucssl.train.pretrain` trains on them.
"""
