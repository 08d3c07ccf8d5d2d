"""A cache of decoded tiles that is bounded in bytes and safe to share among threads."""

from __future__ import annotations

import threading
from collections import OrderedDict

from wsi_nucssl.slide.base import RGB

Key = tuple[int, ...]


class TileCache:
    """Least recently used tiles leave first; a tile larger than the whole cache is not kept."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._held = 0
        self._tiles: OrderedDict[Key, RGB] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes of pixels held now."""
        return self._held

    def get(self, key: Key) -> RGB | None:
        """The tile of `key`, if held."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: Key, tile: RGB) -> None:
        """Keep `tile`, at the cost of the least recently used."""
        if tile.nbytes > self._capacity:
            return
        with self._lock:
            old = self._tiles.pop(key, None)
            self._held += tile.nbytes - (0 if old is None else old.nbytes)
            self._tiles[key] = tile
            self._drop()

    def _drop(self) -> None:
        while self._held > self._capacity:
            _, dropped = self._tiles.popitem(last=False)
            self._held -= dropped.nbytes

    def limit(self, capacity_bytes: int) -> None:
        """Hold no more than so many bytes from now on."""
        with self._lock:
            self._capacity = capacity_bytes
            self._drop()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._tiles.clear()
            self._held = 0
