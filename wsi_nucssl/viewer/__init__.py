"""A page that shows a slide and its nuclei, served on this machine or written as a folder (docs/viewer.md).

`sites` says which files the page consists of, and makes each when it is asked for; `server` gives them to a browser on
this machine, `exporting` writes them all. `tiling` makes nuclei, which `batches` reads, into tiles that `cache` keeps.
The page itself lies in `page/`: modules of ours, and OpenSeadragon, which has a licence of its own.
"""
