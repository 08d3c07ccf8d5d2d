"""Results as other packages have them; each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsi_nucssl.errors import UsageError

if TYPE_CHECKING:
    from anndata import AnnData
    from geopandas import GeoDataFrame

    from wsi_nucssl.result.result import Result


def to_geopandas(result: Result) -> GeoDataFrame:
    """See `Result.to_geopandas`."""
    try:
        import geopandas
    except ImportError as error:
        raise _needed("geopandas") from error
    return geopandas.GeoDataFrame(result.table.copy(), geometry=result.polygons)


def to_anndata(result: Result) -> AnnData:
    """See `Result.to_anndata`."""
    try:
        import anndata
    except ImportError as error:
        raise _needed("anndata") from error
    table = result.table.set_index("id")
    names = [name for name, values in result.measurements.items() if values.dtype.kind == "f"]
    found = anndata.AnnData(X=table[names].to_numpy(np.float32), obs=table)
    found.var_names = names
    found.obsm["spatial"] = table[["centroid_x_px", "centroid_y_px"]].to_numpy()
    found.uns["spatial_unit"] = "px"
    if result.frame.mpp:
        found.obsm["spatial_um"] = table[["centroid_x_um", "centroid_y_um"]].to_numpy()
    return found


def _needed(package: str) -> UsageError:
    return UsageError(
        f"this needs the package {package}, which is not installed",
        remedy=f"Install it: pip install 'wsi-nucssl[{package}]'",
    )
