"""The types of the commands' arguments, each with its help text."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter, Token

from headscope.names import StyleName

# The model and the data.
ModelName = Annotated[str, Parameter(help="A hub name, a folder, or the embedded model minilm.")]
Before = Annotated[
    str, Parameter(help="The model before fine-tuning: a hub name, a folder, or minilm.")
]
After = Annotated[str, Parameter(help="The fine-tuned model.")]
TaskName = Annotated[
    str,
    Parameter(
        help="A registered task; a table of your own, as in reviews.csv (csv, tsv, jsonl, "
        "parquet), divided by the seed; a folder with train and validation files; or ud:FILE, a "
        "treebank whose words have tags."
    ),
]
AnyTask = Annotated[
    str | None,
    Parameter(
        help="A registered task, a table or a folder of your own, or ud:FILE, a treebank; or give "
        "--text."
    ),
]
TextFile = Annotated[
    Path | None,
    Parameter(
        help="In place of a task: texts without labels, a line each (.txt), or the text columns "
        "of a table (csv, tsv, jsonl, parquet)."
    ),
]
ParsedText = Annotated[
    Path | None,
    Parameter(
        help="In place of a corpus: texts, a line each (.txt), or the text columns of a table, "
        "between whose words a parser (spaCy) finds the relations."
    ),
]
TextColumns = Annotated[
    str | tuple[str, ...] | None,
    Parameter(
        help="The one or two text columns of a table, as in text or premise,hypothesis; by "
        "default they are guessed, and said.",
        negative="",
    ),
]
LabelColumn = Annotated[
    str | None,
    Parameter(help="The label column of a table; by default it is guessed, and said."),
]
GroupColumn = Annotated[
    str | None,
    Parameter(
        help="The column that says which rows belong together, as those of one document, query or "
        "premise: tests and intervals then take groups as the independent cases."
    ),
]
DataDir = Annotated[
    Path | None,
    Parameter(
        help="Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default "
        "HEADSCOPE_DATA, else the hub."
    ),
]
CorpusName = Annotated[
    str | tuple[str, ...] | None,
    Parameter(
        help="framenet:DIR, a release; ud:FILE..., treebanks in CoNLL-U or their folder; "
        "tsv:FILE, relations of your own.",
        consume_multiple=True,
    ),
]
Examples = Annotated[
    int | None, Parameter(help="At most so many validation examples, drawn from the seed.")
]
TrainExamples = Annotated[
    int | None, Parameter(help="At most so many training examples, drawn from the seed.")
]
MaxLength = Annotated[
    int, Parameter(help="Longer examples are cut to so many tokens, and counted.")
]

Kind = Annotated[
    Literal["classification", "regression", "embedding", "tokens", "mlm", "qa"] | None,
    Parameter(
        name="--as",
        help="What is scored: the model's head for texts (classification, regression), the cosine "
        "of two texts' vectors (embedding), a tag for every word (tokens), tokens that are masked "
        "(mlm), or answers to questions about a text (qa); by default what the model and the data "
        "are made for.",
    ),
]
Pooling = Annotated[
    Literal["mean", "cls"] | None,
    Parameter(help="How vectors are pooled; by default as the model's folder says."),
]
Prompt = Annotated[
    str | None,
    Parameter(help="What stands before every text of an embedding, as in 'query: '."),
]

# Where results go.
Out = Annotated[
    Path,
    Parameter(help="The run folder to write; the same command resumes what it had begun there."),
]
Overwrite = Annotated[bool, Parameter(help="Replace another run in the folder.", negative="")]
Quiet = Annotated[bool, Parameter(help="Show no progress.", negative="")]

# How it is computed.
Seed = Annotated[
    int,
    Parameter(
        help="Random seed for subsampling, new weights, the order of batches and resampling."
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    Parameter(help="auto: bfloat16 to train where the hardware has it, float32 to score."),
]
BatchTokens = Annotated[
    int | None,
    Parameter(
        help="Tokens in a batch when scoring and measuring, padding included; by default what "
        "the device is fast with and has room for, 2,048 on a processor."
    ),
]
Memory = Annotated[
    float, Parameter(help="GiB of the model's states to keep; what does not fit is recomputed.")
]

# Training.
Init = Annotated[
    Literal["pretrained", "random", "none"],
    Parameter(
        help="pretrained: fine-tune; random: train from random weights; none: a new head, no "
        "training."
    ),
]
Epochs = Annotated[int, Parameter(help="Passes over the training data.")]
BatchSize = Annotated[int, Parameter(help="Examples in a training step.")]
LearningRate = Annotated[
    float, Parameter(help="Peak learning rate; small encoders need more, about 1e-4.")
]
OwnLearningRate = Annotated[
    float | None,
    Parameter(help="Peak learning rate; by default one that suits the encoder's width."),
]

# What is measured.
Measures = Annotated[str, Parameter(help="Names of measures joined by commas, or all.")]
WordsFrom = Annotated[
    str,
    Parameter(
        help="Where the words of a text and their tags come from: auto, gold, spacy, "
        "spacy:PIPELINE, or plain."
    ),
]
Language = Annotated[str, Parameter(help="The language of the texts, as in en or fi.")]
Faithful = Annotated[
    bool,
    Parameter(
        help="Where the paper's notebook differs, compute as it does, its slips included.",
        negative="",
    ),
]

# Which heads are disabled, and how.
HeadsSpec = Annotated[
    str,
    Parameter(
        help="each; layers; all-but-one (of a layer, in turn); random or random:5 (20 sets of 5); "
        "top:MEASURE:5 (the five heads with the largest value in the run --measured); or sets such "
        "as L1H2,L7H6, separated by semicolons. Heads together: pairs (every pair); shapley or "
        "shapley:20 (Shapley values from 20 random orders and their reverses)."
    ),
]
Measured = Annotated[
    Path | None, Parameter(help="The run folder whose measures --heads top:MEASURE:5 goes by.")
]
Mode = Annotated[
    Literal["uniform", "zero", "mean"],
    Parameter(
        help="uniform: attend to every real token alike, as in the paper; zero: no output; mean: "
        "the head's mean output."
    ),
]
Part = Annotated[
    str,
    Parameter(
        help="validation; train; or K/N, the K-th of N random parts of the validation set, as in "
        "1/2 and 2/2."
    ),
]

# How many heads are kept.
Keep = Annotated[
    str | None,
    Parameter(help="Shares of the heads to keep, as in 0.5,0.25; in place of --within."),
]
Within = Annotated[
    float | None,
    Parameter(
        help="Keep as few heads as the score allows: it may fall by this share of itself, 0.01 "
        "by default."
    ),
]
PruningMode = Annotated[
    Literal["zero", "mean", "uniform"],
    Parameter(
        help="What stands for a removed head. zero: nothing; mean: its mean output; uniform: "
        "attention to every real token alike."
    ),
]
SearchExamples = Annotated[
    int,
    Parameter(
        help="How many training examples the search looks at, at most, and by how many others the "
        "number of heads is chosen."
    ),
]

StudySearch = Annotated[
    int,
    Parameter(
        help="How many training examples the search for heads that can go together looks at; 0 "
        "leaves it out. It scores about seven sets a head."
    ),
]
Repair = Annotated[
    bool,
    Parameter(
        help="Fit the output projections of the heads that stay anew to what attention puts out "
        "in the whole model; nothing is trained.",
        negative="",
    ),
]
TrainedOn = Annotated[
    int, Parameter(help="Train the smaller model on for so many epochs, into the folder tuned.")
]
Onnx = Annotated[bool, Parameter(help="Write small/model.onnx as well (extra onnx).", negative="")]

# The paper.
TaskList = Annotated[str, Parameter(help="Tasks of the paper joined by commas, or all.")]
Seeds = Annotated[
    int, Parameter(help="How many seeds to fine-tune with, from 0; the analysis takes the first.")
]
Plan = Annotated[
    bool,
    Parameter(help="Run nothing: write plan.json and submit.sh, for SLURM, into OUT.", negative=""),
]
FrameNet = Annotated[
    Path | None,
    Parameter(
        help="A FrameNet release, to see which heads carry frames, and whether tasks need them "
        "(claim C3)."
    ),
]

# The report.
Page = Annotated[
    str | Path | None, Parameter(help="The HTML file to write; report.html by default.")
]
FigureFolder = Annotated[
    str | Path | None,
    Parameter(
        help="Write the figures for a paper or for slides there, as SVG, PDF and CSV, with "
        "captions; no page without --out."
    ),
]
FigureStyle = Annotated[
    StyleName,
    Parameter(
        help="plain: as on the page; acl: the widths and the font of ACL's style, without titles; "
        "slides: large letters and thick lines for a slide of 16:9, as PNG too."
    ),
]
MapHeads = Annotated[
    str | None,
    Parameter(help="With --figures: draw the maps of these heads side by side, as L3H1,L7H6."),
]
MapExample = Annotated[
    int | None,
    Parameter(
        help="Of which example, by its number in the table examples; by default the shortest that "
        "the run keeps."
    ),
]

# Annotating maps.
AnnotationOut = Annotated[
    Path, Parameter(help="The folder of the annotated set: maps.parquet and labels.jsonl.")
]
OwnModel = Annotated[
    str | None, Parameter(help="Draw maps of this model; not needed where OUT holds maps.")
]
OwnTask = Annotated[
    str | None, Parameter(help="Draw maps on the validation examples of this task.")
]
Count = Annotated[int, Parameter(help="How many maps to draw, in strata of length and layer.")]
Family = Annotated[
    str | None,
    Parameter(help="The pre-trained model that MODEL descends from; by default MODEL itself."),
]
Annotator = Annotated[
    str,
    Parameter(help="Who labels; each annotator has an order of maps and labels of their own."),
]
Round = Annotated[
    Literal[1, 2, 3],
    Parameter(help="1: first pass; 2: second, blind pass; 3: settle what two passes disagree on."),
]
Agreement = Annotated[bool, Parameter(help="Print how far the passes agree, and end.", negative="")]
Port = Annotated[int, Parameter(help="Port on 127.0.0.1; 0 takes a free one.")]
Browser = Annotated[bool, Parameter(help="Open the page in the browser.")]


# Looking at texts.
LookedTexts = Annotated[
    tuple[str, ...], Parameter(help="A text, and a second one for models of pairs.")
]
LookedAt = Annotated[str, Parameter(help="A hub name, a folder, or the embedded model minilm.")]
Beside = Annotated[str | None, Parameter(help="A second model, which is shown beside the first.")]
LookedKind = Annotated[
    Literal["classification", "regression", "embedding", "tokens", "mlm"] | None,
    Parameter(
        name="--as",
        help="What the model says: what its head for texts says (classification, regression), the "
        "cosine of texts' vectors (embedding), a tag for every token (tokens), or what stands at "
        "[MASK] (mlm); by default what its head is for, and vectors where it has none.",
    ),
]
SelectedHead = Annotated[str | None, Parameter(help="The head that is shown large, as L3H10.")]
OffHeads = Annotated[
    str | None, Parameter(help="Heads that are switched off at first, as L1H2,L7H6.")
]
OffMode = Annotated[
    Literal["uniform", "zero"],
    Parameter(help="uniform: a head that is off attends to every token alike; zero: no output."),
]
FoundBy = Annotated[
    Path | None,
    Parameter(
        help="A run folder of prune, disable or study: the heads that it found can be switched off."
    ),
]
LookPage = Annotated[
    Path | None,
    Parameter(
        help="Write the page into this HTML file, with single heads and layers switched off, and "
        "serve none."
    ),
]
OpenBrowser = Annotated[bool, Parameter(help="Open the page in the browser.", negative="")]


def as_written(hint: Any) -> Any:
    """The type of an argument for the command line, which reads a number as it is written.

    Left to itself the parser takes 1.5 for 2 and "none" for nothing.

    >>> as_written(MaxLength).__metadata__[-1].converter is _whole
    True
    """
    kinds = get_args(get_args(hint)[0]) or (get_args(hint)[0],)
    for kind, converter in ((int, _whole), (float, _real)):
        if kind in kinds:
            return Annotated[hint, Parameter(converter=converter)]
    lists = [kind for kind in kinds if get_args(kind) == (str, ...)]
    if not lists:
        return hint
    kind = lists[0] | None if NoneType in kinds else lists[0]
    return Annotated[kind, *hint.__metadata__]


def _whole(kind: object, tokens: Sequence[Token]) -> int:  # noqa: ARG001
    written = tokens[0].value
    if not re.fullmatch(r"[+-]?[0-9]{1,100}", written):
        raise ValueError(f"{written[:40]!r} is not a whole number")
    return int(written)


def _real(kind: object, tokens: Sequence[Token]) -> float:  # noqa: ARG001
    written = tokens[0].value
    try:
        return float(written)
    except ValueError as error:
        raise ValueError(f"{written[:40]!r} is not a number") from error
