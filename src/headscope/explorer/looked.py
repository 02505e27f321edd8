"""The page of a text as a value: a notebook shows it in place, a file keeps it."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from headscope.errors import HeadscopeError
from headscope.explorer.pages import Beginning, saved_page
from headscope.explorer.viewed import Viewed
from headscope.files import replacing

_HEIGHT = 900


@dataclass(frozen=True, eq=False)
class Looked:
    """The page of a text, which needs no server and no network.

    A notebook shows it in place; each stands in a frame of its own, so that several on one page do
    not disturb each other.

    Args:
        models: The models.
        beginning: What the page shows.
        quiet: Whether to show no progress.
    """

    models: Sequence[Viewed]
    beginning: Beginning
    quiet: bool = True

    @cached_property
    def page(self) -> str:
        """The page."""
        return saved_page(self.models, self.beginning, quiet=self.quiet)

    def save(self, out: str | Path) -> Path:
        """Write the page in one step. Returns its path.

        >>> headscope.look("minilm", "The nurse thanked the pilot.").save("look.html")
        ... # doctest: +SKIP

        Raises:
            HeadscopeError: `out` is a folder.
        """
        path = Path(out)
        if path.is_dir():
            raise HeadscopeError(
                f"{path} is a folder: name a file for the page, as in {path / 'look.html'}"
            )
        with replacing(path, shared=True) as unfinished:
            unfinished.write_bytes(self.page.encode("utf-8", "replace"))
        return path

    def __repr__(self) -> str:
        names = " and ".join(viewed.model.name for viewed in self.models)
        return f"<page of {names} on {' | '.join(self.beginning.texts.given)!r}>"

    def _repr_html_(self) -> str:
        """The page in a frame that can neither reach the notebook nor leave."""
        page = html.escape(self.page)
        return (
            f'<iframe srcdoc="{page}" width="100%" height="{_HEIGHT}" frameborder="0" '
            'sandbox="allow-scripts allow-downloads"></iframe>'
        )
