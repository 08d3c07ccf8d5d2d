"""Nuclei: probabilities to instances, polygons and measurements, block by block with seams that do not show.

`instances` and `flood` find them, `seams` says which block owns which, `polygons` and `measure` describe
them, `table` holds them, `stain` supplies their hematoxylin.
"""
