"""Which exemplars of FrameNet are kept, by the rules of Kovaleva et al. (2019, section 4.2).

A sentence is left out by the first of these rules that it breaks:

1. The sentence has at most 12 tokens.
2. The predicate, which evokes the frame, is one span.
3. No frame element that is in the sentence has more than 3 tokens.
4. No frame element is within two tokens of the predicate: from any of its tokens to any of the
   predicate's it is at least three steps, so at least two tokens stand between.
5. At least one frame element is core. Elements that are not core are held to rules 3 and 4, and get
   no link.

`TextForm` is the text of the paper: positions are character offsets, all layers of frame elements
count, the targets of all annotation sets of the sentence count, and core is what the frame calls so
(coreType "Core"). `NotebookForm` is the published notebook, which differs in five ways:

- core is a member of `FEcoreSets`: most core elements are in no set, and most frames have no set;
- the predicate is looked for as a string and found where it first occurs ("He grinned, and the
  porter grinned back");
- so are tokens of elements, which may be found elsewhere in the sentence;
- a predicate of several tokens is not found, and its sentence left out by rule 4;
- of several annotation sets only the last counts, and of the layers of elements only that of rank
  1.

A sentence is left out, and counted, if a span has no word in the text or if a token cannot be found
in it. Links say where predicate and element are, by offsets, in both forms.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import product

from headscope.corpora.base import Link, Sentence
from headscope.corpora.framenet_xml import Element, Exemplar, Frame, Span, annotations
from headscope.examples import Word

LONGEST = 12
"""The most tokens of a sentence."""
LONGEST_ELEMENT = 3
"""The most tokens of a frame element."""
NEAR = 2
"""Steps between two tokens that are too close."""
RELATION = "frame_element"

TOO_LONG = f"left out: more than {LONGEST} tokens"
MISPLACED = "left out: a span or a token that is not in the text"
TARGETS = "left out: not exactly one target span"
LONG_ELEMENT = f"left out: a frame element of more than {LONGEST_ELEMENT} tokens"
TOO_NEAR = "left out: a frame element within two tokens of the target"
NO_CORE = "left out: no core frame element"
KEPT = "kept"
RULES = (TOO_LONG, MISPLACED, TARGETS, LONG_ELEMENT, TOO_NEAR, NO_CORE, KEPT)

Tokenizer = Callable[[str], list[str]]


class Text:
    """A text with its tokens.

    Attributes:
        text: The text.
        tokens: The tokens as NLTK writes them.
        spans: Where they stand; none if one cannot be found.
    """

    def __init__(self, text: str, tokenize: Tokenizer) -> None:
        self.text = text
        self.tokenize = tokenize
        self.tokens = tokenize(text)
        self.spans = token_spans(text, self.tokens) or []

    def words(self, start: int, end: int) -> tuple[int, ...]:
        """The tokens that have a character in the span."""
        return tuple(
            index for index, (first, last) in enumerate(self.spans) if first < end and last > start
        )


class TextForm:
    """The form that the paper's text describes."""

    def targets(self, exemplar: Exemplar) -> Collection[Span]:
        """The spans of the predicate in all annotation sets."""
        spans: set[Span] = set()
        for annotation in annotations(exemplar):
            spans.update(*annotation.targets)
        return spans

    def elements(self, exemplar: Exemplar) -> list[Element]:
        """The frame elements of all layers."""
        elements: set[Element] = set()
        for annotation in annotations(exemplar):
            elements.update(*annotation.elements.values())
        return sorted(elements)

    def size(self, text: Text, element: Element) -> int:
        """How many tokens have a character in the element."""
        return len(text.words(element.start, element.end))

    def is_near(self, text: Text, predicate: Span, elements: Sequence[Element]) -> bool:
        """Whether few steps lie between a token of an element and one of the predicate."""
        of_predicate = text.words(*predicate)
        for element in elements:
            pairs = product(text.words(element.start, element.end), of_predicate)
            if any(abs(word - other) <= NEAR for word, other in pairs):
                return True
        return False

    def core(self, frame: Frame) -> frozenset[str]:
        """The elements of coreType "Core"."""
        return frame.core


class NotebookForm:
    """The form of the paper's notebook, which goes by strings."""

    def targets(self, exemplar: Exemplar) -> Collection[Span]:
        """The spans of the first target layer of the last annotation set that has one."""
        for annotation in reversed(exemplar.sets):
            if annotation.targets:
                return annotation.targets[0]
        return []

    def elements(self, exemplar: Exemplar) -> list[Element]:
        """The frame elements of rank 1 of the last annotation set that has any."""
        for annotation in reversed(exemplar.sets):
            if 1 in annotation.elements:
                return sorted(annotation.elements[1])
        return []

    def size(self, text: Text, element: Element) -> int:
        """How many tokens the element has when it stands alone."""
        return len(_tokens_alone(text, element))

    def is_near(self, text: Text, predicate: Span, elements: Sequence[Element]) -> bool:
        """Whether a token of an element occurs around the first token that reads as the predicate.

        Also if there is no such token.
        """
        form = text.text[slice(*predicate)]
        if form not in text.tokens:
            return True
        index = text.tokens.index(form)
        # Strings, wherever they come from: that is what the notebook compares.
        around = set(text.tokens[max(0, index - NEAR) : index + NEAR + 1])
        return any(around.intersection(_tokens_alone(text, element)) for element in elements)

    def core(self, frame: Frame) -> frozenset[str]:
        """The members of the frame's core sets."""
        return frame.in_sets


Form = TextForm | NotebookForm
"""What the rules look at in an exemplar."""


def _tokens_alone(text: Text, element: Element) -> list[str]:
    return text.tokenize(text.text[element.start : element.end])


def judged(
    exemplar: Exemplar, name: str, frame: Frame, tokenize: Tokenizer, form: Form
) -> Sentence | str:
    """The sentence of an exemplar if it is kept, else the rule that it breaks.

    Args:
        exemplar: The sentence as FrameNet annotates it.
        name: The name of the sentence.
        frame: The frame that its predicate evokes.
        tokenize: Cuts a text into tokens.
        form: What the rules look at.
    """
    text = Text(exemplar.text, tokenize)
    if len(text.tokens) > LONGEST:
        return TOO_LONG
    targets = form.targets(exemplar)
    if len(targets) != 1:
        return TARGETS
    (predicate,) = targets
    elements = form.elements(exemplar)
    spans = [predicate, *((element.start, element.end) for element in elements)]
    if not all(text.words(*span) for span in spans):
        return MISPLACED
    if any(form.size(text, element) > LONGEST_ELEMENT for element in elements):
        return LONG_ELEMENT
    if form.is_near(text, predicate, elements):
        return TOO_NEAR
    core = [element for element in elements if element.name in form.core(frame)]
    if not core:
        return NO_CORE
    links: list[Link] = []
    for element in core:
        source, target = text.words(element.start, element.end), text.words(*predicate)
        links.append(Link(RELATION, source, target, f"{frame.name}: {element.name}"))
    return Sentence(name, text.text, plain_words(text.text, text.spans), tuple(links))


def plain_words(text: str, spans: Sequence[Span]) -> tuple[Word, ...]:
    """Words with these characters, of which nothing else is known."""
    words = []
    for start, end in spans:
        form = text[start:end]
        words.append(Word(form, form, start, end, upos="X", relation="dep", head=-1))
    return tuple(words)


def token_spans(text: str, tokens: Sequence[str]) -> list[Span] | None:
    """Where NLTK's tokens stand in their text.

    NLTK only adds spaces, but for double quotes, which it writes as two backquotes or apostrophes.
    Its own `span_tokenize` raises an error for some texts with quotes of several kinds.

    Returns:
        The characters of each token; None if one is not in the text.
    """
    spans: list[Span] = []
    position = 0
    for token in tokens:
        forms = (token, '"', "''") if token in ("``", "''") else (token,)
        while position < len(text) and text[position].isspace():
            position += 1
        form = next((form for form in forms if text.startswith(form, position)), None)
        if form is None:
            return None
        spans.append((position, position + len(form)))
        position += len(form)
    return spans
