"""The plan of a whole paper as a file, for a batch system: `plan.json`, written and read.

An item is a command with its arguments, in data. What is read from a file is checked before
anything of it is called: its commands are those that `headscope paper` makes, its folders lie
within the run, and its arguments are the commands' own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from headscope.commands.settings import Settings, arguments, made
from headscope.errors import HeadscopeError
from headscope.files import replacing
from headscope.replication.plan import Part, work_item
from headscope.results.contents import PLAN, damaged_files
from headscope.results.record import BEGUN, DONE, Record, read_json

if TYPE_CHECKING:
    from headscope.engine.executor import Item

COMMANDS = ("finetune", "compare", "disable", "path", "relations")
"""The commands that parts of the paper are."""
_FOLDERS = ("model", "after", "measured")
"""Arguments that can be the folder of another item."""
_OF_THE_RUN = ("out", "quiet", "overwrite", "engine", "workers", "gpus_per_item")
"""Arguments that no item says: where it writes follows from its folder, and a job does it alone."""
_NOT_ASKED = ("quiet", "plan")
"""Arguments of `paper` that no plan says."""
_KEYS = ("headscope", "paper", "items")


@dataclass(frozen=True)
class PlannedItem:
    """A part of the paper as a plan has it.

    Attributes:
        number: Its number in the plan, from 1.
        words: What it does, for people.
        folder: Its folder within the run.
        command: The name of its command.
        arguments: The command's arguments, but for those of the run and of `needs`.
        needs: By argument, the number of the item whose folder is its value, and which must be done
            before.
        level: 1 where it needs nothing, else one more than the highest level that it needs.
        seconds: About how long it takes on the machine that made the plan.
    """

    number: int
    words: str
    folder: str
    command: str
    arguments: Mapping[str, Any]
    needs: Mapping[str, int]
    level: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What `plan.json` says.

    Attributes:
        headscope: The version that made it.
        paper: What `headscope paper` was asked.
        items: The items by their numbers: level by level, within a level the longest first.
    """

    headscope: str
    paper: Mapping[str, Any]
    items: tuple[PlannedItem, ...]

    @property
    def levels(self) -> list[list[PlannedItem]]:
        """The items of every level."""
        count = max((item.level for item in self.items), default=0)
        return [[one for one in self.items if one.level == at] for at in range(1, count + 1)]

    def place(self, run: Path) -> Path:
        """The folder of the run as `headscope paper` was given it, where that leads there: tables
        name a fine-tuned model by its path, and all of a run are to name it alike.
        """
        given = Path(self.paper["out"])
        return given if given.is_dir() and given.samefile(run) else run

    def work(self, number: int, root: Path, *, quiet: bool) -> Item:
        """An item as work in the folder of the whole run."""
        planned = self.items[number - 1]
        takes = {name: self.items[need - 1].folder for name, need in planned.needs.items()}
        part = (planned.folder, planned.command, planned.arguments, takes)
        return work_item(*part, root=root, quiet=quiet)

    def write(self, path: Path) -> None:
        """Write the plan into a file, with a checksum."""
        content = json.loads(json.dumps(asdict(self)))
        text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, ensure_ascii=False)
        with replacing(path) as unfinished:
            unfinished.write_text(text + "\n", encoding="utf-8")


def plan_of(parts: Sequence[Part], seconds: float, paper: Mapping[str, Any]) -> Plan:
    """The plan of parts.

    Args:
        parts: The parts, in any order.
        seconds: How long a token takes forward.
        paper: What `headscope paper` was asked, as JSON.
    """
    levels = _levels({part.folder: list(part.takes.values()) for part in parts})
    ordered = sorted(parts, key=lambda part: (levels[part.folder], -part.seconds(seconds)))
    numbers = {part.folder: number for number, part in enumerate(ordered, 1)}
    items = []
    for part in ordered:
        item = PlannedItem(
            number=numbers[part.folder],
            words=part.words,
            folder=part.folder,
            command=part.command,
            arguments=as_json(part.arguments, (*_OF_THE_RUN, *part.takes)),
            needs={name: numbers[folder] for name, folder in part.takes.items()},
            level=levels[part.folder],
            seconds=round(part.seconds(seconds), 1),
        )
        items.append(item)
    return Plan(version("headscope"), paper, tuple(items))


def as_json(given: Mapping[str, Any], left_out: Collection[str] = _NOT_ASKED) -> dict[str, Any]:
    """Arguments as a file keeps them, but for some.

    A path stays as it was given: the names of models are part of the results.
    """
    kept = {}
    for name, value in given.items():
        if name not in left_out:
            kept[name] = str(value) if isinstance(value, Path) else value
    return kept


def _levels(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """By name, how many names stand one behind the other until it has what it needs."""
    levels: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in levels:
            levels[name] = 1 + max((level(need) for need in needs[name]), default=0)
        return levels[name]

    for name in needs:
        level(name)
    return levels


def is_done(folder: Path) -> bool:
    """Whether a run is complete, and all that it wrote is what it wrote."""
    try:
        record = Record.read(folder / DONE)
    except HeadscopeError:
        return False
    return not damaged_files(folder, dict(record.files))


def read_plan(root: Path, paper: type[Settings]) -> Plan:
    """The plan in a run folder.

    Args:
        root: The folder.
        paper: The settings of `headscope paper`.

    Raises:
        HeadscopeError: There is none; it is of another version of headscope; or it is not as
            `headscope paper --plan` wrote it.
    """
    path = root / PLAN
    if not path.is_file() or not (root / BEGUN).is_file():
        raise HeadscopeError(
            f"{root} holds no plan: give the folder that headscope paper --plan --out wrote"
        )
    again = f"write it again with headscope paper --plan, the same arguments and --out {root}"
    try:
        content = read_json(path)
    except (HeadscopeError, RecursionError) as error:
        raise HeadscopeError(f"{path} cannot be read: {again}") from error
    made_by, mine = content.get("headscope"), version("headscope")
    if isinstance(made_by, str) and made_by != mine:
        raise HeadscopeError(
            f"{path} was made by headscope {made_by}, and this is {mine}: use that version, or "
            "plan in another folder"
        )
    try:
        return _checked(content, root, paper)
    except (HeadscopeError, ValueError) as error:
        raise HeadscopeError(
            f"{path} is not as headscope paper wrote it ({str(error).rstrip('.')}): {again}"
        ) from error


def _checked(content: dict[str, Any], root: Path, paper: type[Settings]) -> Plan:
    """The plan of a file's content. Raises ValueError or HeadscopeError if it is none."""
    checksum = content.pop("checksum", None)
    _need(set(content) == set(_KEYS), f"it does not have the keys {', '.join(_KEYS)} alone")
    _need(checksum == _checksum(content), "its checksum is of other content")
    _need(isinstance(content["paper"], dict), "what was asked is no object")
    _check_settings(paper, content["paper"], _NOT_ASKED, {})
    _need(isinstance(content["items"], list), "its items are no list")
    items: list[PlannedItem] = []
    for written in content["items"]:
        items.append(_item(written, items, root))
    _need(len({item.folder for item in items}) == len(items), "two items share a folder")
    return Plan(content["headscope"], content["paper"], tuple(items))


_TYPES: Mapping[str, type] = {
    "number": int,
    "words": str,
    "folder": str,
    "command": str,
    "arguments": dict,
    "needs": dict,
    "level": int,
    "seconds": float,
}


def _item(written: object, before: Sequence[PlannedItem], root: Path) -> PlannedItem:
    """An item of a file, checked.

    Args:
        written: What the file says.
        before: The items before it, which it may need.
        root: The folder of the whole run.

    Raises:
        ValueError: It is no item.
        HeadscopeError: It has arguments that its command does not have.
    """
    what = f"item {len(before) + 1}"
    names = [field.name for field in fields(PlannedItem)]
    if not isinstance(written, dict) or list(written) != names:
        raise ValueError(f"{what} does not have the keys {', '.join(names)}")
    for name, kind in _TYPES.items():
        # True is an int to `isinstance`.
        _need(type(written[name]) is kind, f"{what} has a {name} of another type")
    item = PlannedItem(**written)
    _need(item.number == len(before) + 1, f"{what} has the number {item.number}")
    _need(item.command in COMMANDS, f"{what} has a command that no part of the paper is")
    _need(math.isfinite(item.seconds), f"{what} takes no number of seconds")
    _need(_is_within(item.folder, root), f"the folder of {what} is not within the run")
    for name, need in item.needs.items():
        is_before = type(need) is int and 1 <= need < item.number
        _need(is_before, f"{what} needs an item that does not stand before it")
        is_folder = name in _FOLDERS and name not in item.arguments
        _need(is_folder, f"{what} takes no other item as {name}")
    below = [before[need - 1].level for need in item.needs.values()]
    _need(item.level == 1 + max(below, default=0), f"{what} has the level {item.level}")
    function = getattr(import_module(f"headscope.commands.{item.command}"), item.command)
    folders = {name: before[need - 1].folder for name, need in item.needs.items()}
    taken = {"out": item.folder, **folders}
    _check_settings(function.settings, item.arguments, _OF_THE_RUN, taken)
    return item


def _is_within(folder: str, root: Path) -> bool:
    """Whether a folder, as a plan names it, lies within the run, wherever links lead."""
    place = PurePosixPath(folder)
    is_plain = str(place) == folder and folder != "." and ".." not in place.parts
    return is_plain and (root / place).resolve().is_relative_to(root.resolve())


def _check_settings(
    settings: type[Settings],
    given: Mapping[str, Any],
    left_out: Collection[str],
    more: Mapping[str, str],
) -> None:
    """Raises HeadscopeError or ValueError unless a command can be asked what a plan says.

    Args:
        settings: The command's settings.
        given: What the plan says.
        left_out: Settings that no plan says.
        more: What it is asked beside.
    """
    allowed = [name for name in arguments(settings) if name not in (*left_out, *more)]
    for name in given:
        _need(name in allowed, f"{settings.command} takes no {name} from a plan")
    try:
        made(settings, {**given, **more})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _need(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise ValueError(otherwise)


def _checksum(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a plan's content, whatever its layout."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
