"""The arguments of the commands: their types and help texts, each said once."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

ModelName = Annotated[str, Parameter(help="A hub name, a folder, or the embedded model minilm.")]
Before = Annotated[str, Parameter(help="The model as it was: a hub name, a folder, or minilm.")]
After = Annotated[str, Parameter(help="The fine-tuned model.")]
TaskName = Annotated[
    str,
    Parameter(help="A registered task, or a folder with task.toml, train and validation files."),
]
DataDir = Annotated[
    Path | None,
    Parameter(
        help="Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; else HEADSCOPE_DATA, else the hub."
    ),
]
Out = Annotated[
    Path,
    Parameter(help="The run folder to write; the same command resumes what it had begun there."),
]
Page = Annotated[Path | None, Parameter(help="The HTML file to write; report.html by default.")]
FigureFolder = Annotated[
    Path | None,
    Parameter(
        help="Write the figures for a paper there, as SVG, PDF and CSV; no page without --out."
    ),
]
FigureStyle = Annotated[
    Literal["plain", "acl"],
    Parameter(help="acl: the widths and the font of ACL's style, without titles."),
]
Init = Annotated[
    Literal["pretrained", "random", "none"],
    Parameter(
        help="pretrained: fine-tune; random: train from random weights; none: a new head, no training."
    ),
]
Epochs = Annotated[int, Parameter(help="Passes over the training data.")]
BatchSize = Annotated[int, Parameter(help="Examples in a training step.")]
LearningRate = Annotated[
    float, Parameter(help="Peak learning rate; small encoders want more, about 1e-4.")
]
OwnLearningRate = Annotated[
    float | None,
    Parameter(help="Peak learning rate; by default one that suits the encoder's width."),
]
WordsFrom = Annotated[
    str,
    Parameter(
        help="auto, gold, spacy, spacy:PIPELINE, or plain: who says what the words of a text are."
    ),
]
Language = Annotated[str, Parameter(help="The language of the texts, as in en or fi.")]
Faithful = Annotated[
    bool,
    Parameter(
        help="The forms of the paper's notebook, its slips included, where it differs.", negative=""
    ),
]
Measures = Annotated[str, Parameter(help="Names of measures joined by commas, or all.")]
HeadsSpec = Annotated[
    str,
    Parameter(
        help="each; layers; all-but-one (of a layer, in turn); random or random:5 (20 sets of 5); top:MEASURE:5 (the "
        "five with the most of it in the run --measured); or sets such as L1H2,L7H6 with ; "
        "between them."
    ),
]
Measured = Annotated[
    Path | None, Parameter(help="The run folder whose measures --heads top:MEASURE:5 goes by.")
]
Part = Annotated[
    str,
    Parameter(
        help="validation; train; or K/N, the K-th of N random parts of the validation set, as in 1/2 and 2/2."
    ),
]
Devices = Annotated[
    str | None,
    Parameter(
        help="Devices that share the work, as in cuda:0,cuda:1; by default the first GPU, else the processor."
    ),
]
Memory = Annotated[
    float, Parameter(help="GiB of the model's states to keep; what does not fit is computed again.")
]
Mode = Annotated[
    Literal["uniform", "zero", "mean"],
    Parameter(
        help="uniform: 1/L to every real token, as in the paper; zero: no output; mean: the mean output."
    ),
]
Examples = Annotated[
    int | None, Parameter(help="At most so many validation examples, drawn from the seed.")
]
TrainExamples = Annotated[
    int | None, Parameter(help="At most so many training examples, drawn from the seed.")
]
Seed = Annotated[int, Parameter(help="Decides everything that is drawn.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    Parameter(help="auto: bfloat16 to train where the hardware has it, float32 to score."),
]
MaxLength = Annotated[
    int, Parameter(help="Longer examples are cut to so many tokens, and counted.")
]
BatchTokens = Annotated[
    int, Parameter(help="Tokens in a batch when scoring and measuring, padding included.")
]
Quiet = Annotated[bool, Parameter(help="Show no progress.", negative="")]
Overwrite = Annotated[bool, Parameter(help="Replace another run in the folder.", negative="")]
Annotator = Annotated[
    str, Parameter(help="Who labels; each annotator has an order of maps and labels of their own.")
]
Round = Annotated[
    Literal[1, 2, 3],
    Parameter(help="1: first pass; 2: second, blind pass; 3: settle what two passes disagree on."),
]
Count = Annotated[int, Parameter(help="How many maps to draw, in strata of length and layer.")]
Port = Annotated[int, Parameter(help="Port on 127.0.0.1; 0 takes a free one.")]
Browser = Annotated[bool, Parameter(help="Open the page in the browser.")]
Agreement = Annotated[bool, Parameter(help="Print how far the passes agree, and end.", negative="")]
AnnotationOut = Annotated[
    Path, Parameter(help="The folder of the annotated set: maps.parquet and labels.jsonl.")
]
OwnModel = Annotated[
    str | None, Parameter(help="Draw maps of this model; not needed where OUT holds maps.")
]
OwnTask = Annotated[
    str | None, Parameter(help="Draw maps on the validation examples of this task.")
]
Family = Annotated[
    str | None,
    Parameter(help="The pre-trained model that the model descends from; itself by default."),
]
TaskList = Annotated[str, Parameter(help="Tasks of the paper joined by commas, or all.")]
Seeds = Annotated[
    int,
    Parameter(help="How many seeds to fine-tune with, from 0 on; the analysis takes the first."),
]
Workers = Annotated[
    int,
    Parameter(
        help="How many parts to do at once, each in a process of its own; several can share a GPU."
    ),
]
CorpusName = Annotated[
    str | tuple[str, ...],
    Parameter(
        help="framenet:DIR, a release; ud:FILE..., treebanks in CoNLL-U or their folder; tsv:FILE, one's own links.",
        consume_multiple=True,
    ),
]
FrameNet = Annotated[
    Path | None,
    Parameter(
        help="A FrameNet release, to see which heads carry frames, and whether tasks need them (C3)."
    ),
]
