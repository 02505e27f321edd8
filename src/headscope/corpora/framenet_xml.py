"""The XML of a FrameNet release as a stream: the core elements of frames, and the exemplars of
lexical units.

A release (1.5 and 1.7 have the same layout) has a file for every frame in frame/ and one for every
lexical unit in lu/. In the latter, `lexUnit/subCorpus/sentence` holds a `text` and annotation sets:
the first has parts of speech, others mark the predicate (layer Target) and its frame elements
(layer FE, of rank 1; those that overlap are on ranks 2 and 3). A label without `start` is an
element that is not in the sentence. expat reads the files, because most of what they hold can be
passed over before Python sees it: whatever belongs to a text that is too long.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from headscope.errors import HeadscopeError

Span = tuple[int, int]
"""Character offsets into a text, the end exclusive. (In the files the end is inclusive.)"""

UNANNOTATED = "UNANN"


class Element(NamedTuple):
    """A frame element that is in the sentence."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class Frame:
    """What a frame says of its elements.

    A core set names elements that can stand for each other, as Source, Path and Goal of motion do:
    an element without such a partner is in no set, however core it is, and most frames have no set
    at all.

    Attributes:
        name: The name of the frame.
        core: The elements of coreType "Core".
        in_sets: The members of its core sets.
    """

    name: str
    core: frozenset[str]
    in_sets: frozenset[str]


@dataclass
class Annotation:
    """An annotation set: its Target layers that are not empty, and its FE layers by rank."""

    annotated: bool
    targets: list[list[Span]] = field(default_factory=list)
    elements: dict[int, list[Element]] = field(default_factory=dict)


@dataclass
class Exemplar:
    """A sentence of a lexical unit, and its annotation sets in the order of the file."""

    name: str
    text: str
    sets: list[Annotation] = field(default_factory=list)


@dataclass
class Unit:
    """A lexical unit.

    Attributes:
        name: Its name, as in `go.v`.
        frame: The frame that it evokes.
        status: How far FrameNet's work on it is.
        sentences: How many sentences it has.
        exemplars: Those whose text is not too long.
    """

    name: str
    frame: str
    status: str
    sentences: int = 0
    exemplars: list[Exemplar] = field(default_factory=list)


def unit_files(folder: Path) -> list[Path]:
    """The files of the lexical units of a release, by name."""
    return sorted(path for path in (folder / "lu").glob("lu*.xml") if path.is_file())


def frame_files(folder: Path) -> list[Path]:
    """The files of the frames of a release, by name."""
    return sorted(path for path in (folder / "frame").glob("*.xml") if path.is_file())


def read_frames(folder: Path) -> dict[str, Frame]:
    """Every frame of a release by its name.

    Raises:
        HeadscopeError: As `read_unit`.
    """
    return {frame.name: frame for frame in map(_read_frame, frame_files(folder))}


def read_unit(path: Path, longest: int) -> Unit:
    """The lexical unit in a file.

    Args:
        path: The file.
        longest: Texts of more words between white space are counted and passed over.

    Raises:
        HeadscopeError: The file is not XML, not that of a lexical unit, or declares a document
            type; the error names the line.
    """
    reader = _UnitReader(path, longest)
    reader.run()
    return reader.unit


def annotations(exemplar: Exemplar) -> Iterator[Annotation]:
    """The sets of an exemplar that annotate a frame."""
    return (annotation for annotation in exemplar.sets if annotation.annotated)


def content(path: Path) -> bytes:
    """The content of a file.

    Raises:
        HeadscopeError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise HeadscopeError(
            f"{path} cannot be read ({error.strerror}): unpack the release again."
        ) from error


class _Reader:
    """One file through expat; every mistake in it becomes a HeadscopeError with file and line."""

    root = ""

    def __init__(self, path: Path):
        self.path = path
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._first

    def run(self) -> None:
        try:
            self.parser.Parse(content(self.path), True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code) or "not XML"
            raise HeadscopeError(
                f"{self.path}, line {error.lineno}: broken XML ({reason}); unpack the release "
                "again."
            ) from error
        except KeyError as error:
            raise self.wrong(f"an element lacks the attribute {error.args[0]}") from error
        except (LookupError, ValueError) as error:
            raise self.wrong(f"its encoding cannot be read ({error})") from error

    def wrong(self, what: str) -> HeadscopeError:
        return HeadscopeError(
            f"{self.path}, line {self.parser.CurrentLineNumber}: {what}; unpack the release again."
        )

    def number(self, attributes: dict[str, str], key: str) -> int:
        value = attributes[key]
        if not (value.isascii() and value.isdecimal()):
            raise self.wrong(f"the attribute {key} should be a number and is {value!r}")
        return int(value)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def begin(self, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def _first(self, name: str, attributes: dict[str, str]) -> None:
        if name != self.root:
            raise self.wrong(
                f"expected a FrameNet file with the root <{self.root}>, found <{name}>"
            )
        self.begin(attributes)
        self.parser.StartElementHandler = self.start

    def _doctype(self, *_: object) -> None:
        raise self.wrong(
            "it declares a document type, which FrameNet's files do not and which is refused"
        )


class _FrameReader(_Reader):
    root = "frame"

    def begin(self, attributes: dict[str, str]) -> None:
        self.name = attributes["name"]
        self.core: set[str] = set()
        self.in_sets: set[str] = set()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "FE" and attributes["coreType"] == "Core":
            self.core.add(attributes["name"])
        elif name == "memberFE":
            self.in_sets.add(attributes["name"])


def _read_frame(path: Path) -> Frame:
    reader = _FrameReader(path)
    reader.run()
    return Frame(reader.name, frozenset(reader.core), frozenset(reader.in_sets))


class _UnitReader(_Reader):
    """Its handlers are set and unset on the way: one that is not set costs nothing."""

    root = "lexUnit"

    def __init__(self, path: Path, longest: int):
        super().__init__(path)
        self.longest = longest
        self._pieces: list[str] = []
        self._sentence = ""
        self._exemplar: Exemplar | None = None
        self._set = Annotation(False)
        self._layer = ""
        self._targets: list[Span] = []
        self._elements: list[Element] = []

    def begin(self, attributes: dict[str, str]) -> None:
        self.unit = Unit(attributes["name"], attributes["frame"], attributes.get("status", ""))

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "label":
            if self._layer and "start" in attributes:
                self._label(attributes)
        elif name == "layer":
            self._begin_layer(attributes)
        elif name == "annotationSet":
            if self._exemplar is None:
                raise self.wrong("an annotation set without the text of a sentence before it")
            self._set = Annotation(attributes["status"] != UNANNOTATED)
            self._layer = ""
            if "cxnID" not in attributes:  # It would annotate a construction, not a frame.
                self._exemplar.sets.append(self._set)
        elif name == "sentence":
            self.unit.sentences += 1
            self._sentence, self._exemplar = attributes["ID"], None
        elif name == "text":
            self._pieces.clear()
            self.parser.CharacterDataHandler = self._pieces.append
            self.parser.EndElementHandler = self._end_text

    def _begin_layer(self, attributes: dict[str, str]) -> None:
        self._layer = attributes["name"] if attributes["name"] in ("Target", "FE") else ""
        if self._layer == "FE":
            self._elements = self._set.elements.setdefault(self.number(attributes, "rank"), [])
        elif self._layer:
            self._targets = []

    def _label(self, attributes: dict[str, str]) -> None:
        start, end = self.number(attributes, "start"), self.number(attributes, "end") + 1
        if self._layer == "FE":
            self._elements.append(Element(start, end, attributes["name"]))
        else:
            if not self._targets:
                self._set.targets.append(self._targets)
            self._targets.append((start, end))

    def _end_text(self, _: str) -> None:
        self.parser.CharacterDataHandler = None
        # A line break counts as one character, as a space does: offsets stay.
        text = "".join(self._pieces).replace("\n", " ")
        if len(text.split()) > self.longest:
            self.parser.StartElementHandler = None
            self.parser.EndElementHandler = self._pass_over
        else:
            self.parser.EndElementHandler = None
            self._exemplar = Exemplar(self._sentence, text)
            self.unit.exemplars.append(self._exemplar)

    def _pass_over(self, name: str) -> None:
        if name == "sentence":
            self.parser.StartElementHandler = self.start
            self.parser.EndElementHandler = None
