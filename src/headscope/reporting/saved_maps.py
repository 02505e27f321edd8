"""The attention maps of a run folder, each read when it is asked for: all at once may not fit."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from headscope.results.tables import Map


class SavedMaps(Mapping[str, Map]):
    """The maps of `maps.safetensors` by `state/example`; arrays of another kind are skipped.

    Raises:
        FileNotFoundError: There is no such file.
        Exception: The file is damaged; what is raised is up to safetensors.
    """

    def __init__(self, path: Path) -> None:
        from safetensors import safe_open

        if not path.is_file():
            raise FileNotFoundError(path)
        self._path = path
        self._names: list[str] = []
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                array = file.get_slice(name)
                shape = array.get_shape()
                if len(shape) == 4 and all(shape) and array.get_dtype() == "U8":
                    self._names.append(name)

    def of(self, examples: Collection[str]) -> Mapping[str, Map]:
        """The maps of some examples, by their numbers as text."""
        chosen = SavedMaps(self._path)
        chosen._names = [name for name in self._names if name.split("/")[-1] in examples]
        return chosen

    def __getitem__(self, name: str) -> Map:
        from safetensors import safe_open

        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, framework="numpy") as file:
            map_: Map = file.get_tensor(name)
        return map_

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
