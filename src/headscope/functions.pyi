"""The signatures of the commands as functions; written by tools/signatures.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

from transformers import PreTrainedTokenizerBase

from headscope.commands.given import HeadsLike, ModelLike, TaskLike
from headscope.commands.outcome import Outcome
from headscope.model.texts import Texts
from headscope.names import StyleName
from headscope.runs import Page, Run

def study(
    *,
    model: ModelLike = "minilm",
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike = "builtin",
    out: str | Path | None = None,
    data: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    label: str | None = None,
    words: str = "auto",
    language: str = "en",
    kind: Literal["classification", "regression", "embedding", "tokens", "mlm", "qa"] | None = None,
    group: str | None = None,
    epochs: int = 3,
    batch_size: int = 32,
    lr: float | None = None,
    mode: Literal["uniform", "zero", "mean"] = "uniform",
    train_examples: int | None = None,
    search_examples: int = 100,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Analyse one task as a whole: fine-tune, measure, disable every head in turn, report.

    Without arguments it runs on the embedded model and task, with no network.

    For example:
    headscope study
    headscope study --model minilm --task mrpc --data glue --out runs/mrpc
    headscope study --model minilm --task ud:UD_English-EWT --out runs/tags

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: A registered task; a table of your own, as in reviews.csv (csv, tsv, jsonl,
            parquet), divided by the seed; a folder with train and validation files; or ud:FILE,
            a treebank whose words have tags. In Python also a data frame of polars or pandas, a
            datasets.Dataset or DatasetDict, a dictionary of columns or of splits, a list of
            rows such as ('a text', 1), or (texts, labels).
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        label: The label column of a table; by default it is guessed, and said.
        words: Where the words of a text and their tags come from: auto, gold, spacy,
            spacy:PIPELINE, or plain.
        language: The language of the texts, as in en or fi.
        kind: What is scored: the model's head for texts (classification, regression), the
            cosine of two texts' vectors (embedding), a tag for every word (tokens), tokens that
            are masked (mlm), or answers to questions about a text (qa); by default what the
            model and the data are made for.
        group: The column that says which rows belong together, as those of one document, query
            or premise: tests and intervals then take groups as the independent cases.
        epochs: Passes over the training data.
        batch_size: Examples in a training step.
        lr: Peak learning rate; by default one that suits the encoder's width.
        mode: uniform: attend to every real token alike, as in the paper; zero: no output; mean:
            the head's mean output.
        train_examples: At most so many training examples, drawn from the seed.
        search_examples: How many training examples the search for heads that can go together
            looks at; 0 leaves it out. It scores about seven sets a head.
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def finetune(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike,
    out: str | Path | None = None,
    data: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    label: str | None = None,
    kind: Literal["classification", "regression", "embedding", "tokens", "mlm", "qa"] | None = None,
    group: str | None = None,
    init: Literal["pretrained", "random", "none"] = "pretrained",
    epochs: int = 3,
    batch_size: int = 32,
    lr: float = 2e-05,
    train_examples: int | None = None,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Fine-tune an encoder on a task and score it; OUT is a plain Hugging Face folder.

    For example:
    headscope finetune --model minilm --task mrpc --data glue --out CKPT
    headscope finetune --model minilm --task reviews.csv --label stars --out CKPT

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: A registered task; a table of your own, as in reviews.csv (csv, tsv, jsonl,
            parquet), divided by the seed; a folder with train and validation files; or ud:FILE,
            a treebank whose words have tags. In Python also a data frame of polars or pandas, a
            datasets.Dataset or DatasetDict, a dictionary of columns or of splits, a list of
            rows such as ('a text', 1), or (texts, labels).
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        label: The label column of a table; by default it is guessed, and said.
        kind: What is scored: the model's head for texts (classification, regression), the
            cosine of two texts' vectors (embedding), a tag for every word (tokens), tokens that
            are masked (mlm), or answers to questions about a text (qa); by default what the
            model and the data are made for.
        group: The column that says which rows belong together, as those of one document, query
            or premise: tests and intervals then take groups as the independent cases.
        init: pretrained: fine-tune; random: train from random weights; none: a new head, no
            training.
        epochs: Passes over the training data.
        batch_size: Examples in a training step.
        lr: Peak learning rate; small encoders need more, about 1e-4.
        train_examples: At most so many training examples, drawn from the seed.
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def measure(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike | None = None,
    text: str | Path | Texts | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    label: str | None = None,
    words: str = "auto",
    language: str = "en",
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    measures: str | Sequence[str] = "all",
    faithful: bool = False,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Measure what every head attends to, in one pass over the validation data, or over texts.

    For example:
    headscope measure --model minilm --text sentences.txt --out runs/texts
    headscope measure --model minilm --task reviews.csv --label stars --out runs/own

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: A registered task, a table or a folder of your own, or ud:FILE, a treebank; or
            give --text. In Python also a data frame of polars or pandas, a datasets.Dataset or
            DatasetDict, a dictionary of columns or of splits, a list of rows such as ('a text',
            1), or (texts, labels).
        text: In place of a task: texts without labels, a line each (.txt), or the text columns
            of a table (csv, tsv, jsonl, parquet). In Python also a list of texts, or of pairs
            of texts in tuples.
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        label: The label column of a table; by default it is guessed, and said.
        words: Where the words of a text and their tags come from: auto, gold, spacy,
            spacy:PIPELINE, or plain.
        language: The language of the texts, as in en or fi.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        measures: Names of measures joined by commas, or all.
        faithful: Where the paper's notebook differs, compute as it does, its slips included.
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def compare(
    *,
    before: ModelLike,
    after: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike | None = None,
    text: str | Path | Texts | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    label: str | None = None,
    words: str = "auto",
    language: str = "en",
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    measures: str | Sequence[str] = "all",
    faithful: bool = False,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Compare every head before and after fine-tuning: its maps' cosine, and every measure.

    For example:
    headscope compare --before minilm --after CKPT --text texts.txt --out runs/diff
    headscope compare --before minilm --after CKPT --task reviews.csv --out runs/own

    Args:
        before: The model before fine-tuning: a hub name, a folder, or minilm. In Python also a
            Path, a headscope.Model, a Hugging Face model in memory (with tokenizer=), a
            pipeline of transformers, or a run that trained a model.
        after: The fine-tuned model. In Python also a Path, a headscope.Model, a Hugging Face
            model in memory (with tokenizer=), a pipeline of transformers, or a run that trained
            a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: A registered task, a table or a folder of your own, or ud:FILE, a treebank; or
            give --text. In Python also a data frame of polars or pandas, a datasets.Dataset or
            DatasetDict, a dictionary of columns or of splits, a list of rows such as ('a text',
            1), or (texts, labels).
        text: In place of a task: texts without labels, a line each (.txt), or the text columns
            of a table (csv, tsv, jsonl, parquet). In Python also a list of texts, or of pairs
            of texts in tuples.
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        label: The label column of a table; by default it is guessed, and said.
        words: Where the words of a text and their tags come from: auto, gold, spacy,
            spacy:PIPELINE, or plain.
        language: The language of the texts, as in en or fi.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        measures: Names of measures joined by commas, or all.
        faithful: Where the paper's notebook differs, compute as it does, its slips included.
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def relations(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    text: str | Path | Texts | None = None,
    corpus: str | tuple[str, ...] | None = None,
    out: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    words: str = "auto",
    language: str = "en",
    faithful: bool = False,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Find the heads that carry relations between words, beside what distance alone explains.

    The corpus is framenet:DIR (a release), ud:FILE... (treebanks), or tsv:FILE (sentence, span,
    span, relation); in place of one, --text FILE takes the relations that a parser finds.

    For example:
    headscope relations --model minilm --corpus ud:dev.conllu --out runs/ewt
    headscope relations --model minilm --text sentences.txt --out runs/texts

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        text: In place of a corpus: texts, a line each (.txt), or the text columns of a table,
            between whose words a parser (spaCy) finds the relations. In Python also a list of
            texts, or of pairs of texts in tuples.
        corpus: framenet:DIR, a release; ud:FILE..., treebanks in CoNLL-U or their folder;
            tsv:FILE, relations of your own.
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        words: Where the words of a text and their tags come from: auto, gold, spacy,
            spacy:PIPELINE, or plain.
        language: The language of the texts, as in en or fi.
        faithful: Where the paper's notebook differs, compute as it does, its slips included.
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def disable(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike,
    out: str | Path | None = None,
    data: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    label: str | None = None,
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    kind: Literal["classification", "regression", "embedding", "tokens", "mlm", "qa"] | None = None,
    group: str | None = None,
    pool: Literal["mean", "cls"] | None = None,
    prompt: str | None = None,
    heads: HeadsLike = "each",
    measured: str | Path | Run | None = None,
    mode: Literal["uniform", "zero", "mean"] = "uniform",
    part: str = "validation",
    memory: float = 2.0,
    devices: str | Sequence[str] | None = None,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Disable sets of heads of a fine-tuned model in turn, and test what each costs or gains.

    For example:
    headscope disable --model CKPT --task mrpc --data glue --out runs/disabled
    headscope disable --model CKPT --task reviews.csv --label stars --out runs/own

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: A registered task; a table of your own, as in reviews.csv (csv, tsv, jsonl,
            parquet), divided by the seed; a folder with train and validation files; or ud:FILE,
            a treebank whose words have tags. In Python also a data frame of polars or pandas, a
            datasets.Dataset or DatasetDict, a dictionary of columns or of splits, a list of
            rows such as ('a text', 1), or (texts, labels).
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        label: The label column of a table; by default it is guessed, and said.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        kind: What is scored: the model's head for texts (classification, regression), the
            cosine of two texts' vectors (embedding), a tag for every word (tokens), tokens that
            are masked (mlm), or answers to questions about a text (qa); by default what the
            model and the data are made for.
        group: The column that says which rows belong together, as those of one document, query
            or premise: tests and intervals then take groups as the independent cases.
        pool: How vectors are pooled; by default as the model's folder says.
        prompt: What stands before every text of an embedding, as in 'query: '.
        heads: each; layers; all-but-one (of a layer, in turn); random or random:5 (20 sets of
            5); top:MEASURE:5 (the five heads with the largest value in the run --measured); or
            sets such as L1H2,L7H6, separated by semicolons. Heads together: pairs (every pair);
            shapley or shapley:20 (Shapley values from 20 random orders and their reverses). In
            Python also a head or a list of heads, which are disabled together, or a list of
            such lists, each in turn.
        measured: The run folder whose measures --heads top:MEASURE:5 goes by.
        mode: uniform: attend to every real token alike, as in the paper; zero: no output; mean:
            the head's mean output.
        part: validation; train; or K/N, the K-th of N random parts of the validation set, as in
            1/2 and 2/2.
        memory: GiB of the model's states to keep; what does not fit is recomputed.
        devices: Devices that share the work, as in cuda:0,cuda:1; by default the first GPU,
            else the processor.
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def prune(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike,
    out: str | Path | None = None,
    data: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    label: str | None = None,
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    kind: Literal["classification", "regression", "embedding", "tokens", "mlm", "qa"] | None = None,
    group: str | None = None,
    pool: Literal["mean", "cls"] | None = None,
    prompt: str | None = None,
    within: float | None = None,
    mode: Literal["zero", "mean", "uniform"] = "zero",
    search_examples: int = 500,
    memory: float = 2.0,
    keep: str | Sequence[float] | None = None,
    repair: bool = False,
    finetune: int = 0,
    onnx: bool = False,
    examples: int | None = None,
    seed: int = 0,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    max_length: int = 128,
    batch_tokens: int | None = None,
    quiet: bool = False,
    overwrite: bool = False,
) -> Run:
    """Search for the heads that can go together, and test once what is lost without them.

    The search looks at training examples alone; the test is on the validation examples. Writes the
    model without these heads: full loads with transformers, small is smaller and faster.

    For example:
    headscope prune --model CKPT --task mrpc --data glue --repair --out runs/pruned
    headscope prune --model CKPT --task reviews.csv --keep 0.5,0.25 --out half

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: A registered task; a table of your own, as in reviews.csv (csv, tsv, jsonl,
            parquet), divided by the seed; a folder with train and validation files; or ud:FILE,
            a treebank whose words have tags. In Python also a data frame of polars or pandas, a
            datasets.Dataset or DatasetDict, a dictionary of columns or of splits, a list of
            rows such as ('a text', 1), or (texts, labels).
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        columns: The one or two text columns of a table, as in text or premise,hypothesis; by
            default they are guessed, and said.
        label: The label column of a table; by default it is guessed, and said.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        kind: What is scored: the model's head for texts (classification, regression), the
            cosine of two texts' vectors (embedding), a tag for every word (tokens), tokens that
            are masked (mlm), or answers to questions about a text (qa); by default what the
            model and the data are made for.
        group: The column that says which rows belong together, as those of one document, query
            or premise: tests and intervals then take groups as the independent cases.
        pool: How vectors are pooled; by default as the model's folder says.
        prompt: What stands before every text of an embedding, as in 'query: '.
        within: Keep as few heads as the score allows: it may fall by this share of itself, 0.01
            by default.
        mode: What stands for a removed head. zero: nothing; mean: its mean output; uniform:
            attention to every real token alike.
        search_examples: How many training examples the search looks at, at most, and by how
            many others the number of heads is chosen.
        memory: GiB of the model's states to keep; what does not fit is recomputed.
        keep: Shares of the heads to keep, as in 0.5,0.25; in place of --within.
        repair: Fit the output projections of the heads that stay anew to what attention puts
            out in the whole model; nothing is trained.
        finetune: Train the smaller model on for so many epochs, into the folder tuned.
        onnx: Write small/model.onnx as well (extra onnx).
        examples: At most so many validation examples, drawn from the seed.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        max_length: Longer examples are cut to so many tokens, and counted.
        batch_tokens: Tokens in a batch when scoring and measuring, padding included; by default
            what the device is fast with and has room for, 2,048 on a processor.
        quiet: Show no progress.
        overwrite: Replace another run in the folder.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

@overload
def paper(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    tasks: str | Sequence[str] = "all",
    seeds: int = 1,
    epochs: int = 3,
    batch_size: int = 32,
    lr: float | None = None,
    train_examples: int | None = None,
    framenet: str | Path | None = None,
    plan: Literal[False] = False,
    examples: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    quiet: bool = False,
) -> Run:
    """Run the whole paper: seven tasks in three configurations, its figures, and its six claims.

    Says its plan and what it will cost first, and resumes what it had begun. Several workers do
    several parts at once; with --plan a batch system does them.

    For example:
    headscope paper --model minilm --data glue --out runs/paper
    headscope paper --model minilm --seeds 3 --plan --out runs/seeds

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        tasks: Tasks of the paper joined by commas, or all.
        seeds: How many seeds to fine-tune with, from 0; the analysis takes the first.
        epochs: Passes over the training data.
        batch_size: Examples in a training step.
        lr: Peak learning rate; by default one that suits the encoder's width.
        train_examples: At most so many training examples, drawn from the seed.
        framenet: A FrameNet release, to see which heads carry frames, and whether tasks need
            them (claim C3).
        plan: Run nothing: write plan.json and submit.sh, for SLURM, into OUT. In Python it
            returns what the command says, an Outcome.
        examples: At most so many validation examples, drawn from the seed.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        quiet: Show no progress.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

@overload
def paper(
    *,
    model: ModelLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    engine: str = "local",
    workers: int = 1,
    gpus_per_item: float | None = None,
    tasks: str | Sequence[str] = "all",
    seeds: int = 1,
    epochs: int = 3,
    batch_size: int = 32,
    lr: float | None = None,
    train_examples: int | None = None,
    framenet: str | Path | None = None,
    plan: Literal[True],
    examples: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    quiet: bool = False,
) -> Outcome:
    """Run the whole paper: seven tasks in three configurations, its figures, and its six claims.

    Says its plan and what it will cost first, and resumes what it had begun. Several workers do
    several parts at once; with --plan a batch system does them.

    For example:
    headscope paper --model minilm --data glue --out runs/paper
    headscope paper --model minilm --seeds 3 --plan --out runs/seeds

    Args:
        model: A hub name, a folder, or the embedded model minilm. In Python also a Path, a
            headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        out: The run folder to write; the same command resumes what it had begun there. In
            Python a temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        engine: Where the work is done: local (this process), processes (a process for every
            GPU, or processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS.
        workers: How many processes share the work on this machine; several can share a GPU.
        gpus_per_item: How much of a GPU an item takes on a Ray cluster, as in 0.25; by default
            one, where there is any.
        tasks: Tasks of the paper joined by commas, or all.
        seeds: How many seeds to fine-tune with, from 0; the analysis takes the first.
        epochs: Passes over the training data.
        batch_size: Examples in a training step.
        lr: Peak learning rate; by default one that suits the encoder's width.
        train_examples: At most so many training examples, drawn from the seed.
        framenet: A FrameNet release, to see which heads carry frames, and whether tasks need
            them (claim C3).
        plan: Run nothing: write plan.json and submit.sh, for SLURM, into OUT. In Python it
            returns what the command says, an Outcome.
        examples: At most so many validation examples, drawn from the seed.
        precision: auto: bfloat16 to train where the hardware has it, float32 to score.
        quiet: Show no progress.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def run_item(
    *,
    run: str | Path,
    number: int,
    quiet: bool = False,
) -> Run:
    """Run one item of a plan of headscope paper --plan, in its folder within the run.

    It resumes what it had begun; an item that is done does nothing, and one whose needs are not
    done is refused. For jobs of a batch system.

    For example:
    headscope run-item runs/paper 1
    headscope run-item runs/small 12 --quiet

    Args:
        run: The run folder that headscope paper --plan wrote.
        number: The number of the item in plan.json, from 1.
        quiet: Show no progress.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def gather(
    *,
    run: str | Path,
    quiet: bool = False,
) -> Run:
    """Put the tables of all items of a plan together: the end of headscope paper, with its report.

    Where items are missing, it names them.

    For example:
    headscope gather runs/paper
    headscope gather runs/small --quiet

    Args:
        run: The run folder that headscope paper --plan wrote.
        quiet: Show no progress.

    Returns:
        The run: `table(name)` is a data frame, `figure(name)` a chart, `report()` a page.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def annotate(
    *,
    model: ModelLike | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    task: TaskLike | None = None,
    out: str | Path | None,
    data: str | Path | None = None,
    count: int = 100,
    family: str | None = None,
    annotator: str = "me",
    round: Literal[1, 2, 3] = 1,
    agreement: bool = False,
    port: int = 8377,
    browser: bool = True,
    seed: int = 0,
    max_length: int = 128,
    quiet: bool = False,
) -> Outcome:
    """Label attention maps by looking at them, on a local page.

    Maps of MODEL on TASK are added to the set in OUT; without them the set is shown as it is. Every
    label is on the disk before the next map is shown. Ctrl-C ends the server.

    For example:
    headscope annotate --model minilm --task builtin --count 50 --out labelled
    headscope annotate --out labelled --annotator ann --round 2

    Args:
        model: Draw maps of this model; not needed where OUT holds maps. In Python also a Path,
            a headscope.Model, a Hugging Face model in memory (with tokenizer=), a pipeline of
            transformers, or a run that trained a model.
        tokenizer: The tokenizer of a Hugging Face model in memory; left out for other models.
        task: Draw maps on the validation examples of this task. In Python also a data frame of
            polars or pandas, a datasets.Dataset or DatasetDict, a dictionary of columns or of
            splits, a list of rows such as ('a text', 1), or (texts, labels).
        out: The folder of the annotated set: maps.parquet and labels.jsonl. In Python a
            temporary folder where it is left out, kept until the process ends.
        data: Folder with <task>/{train,validation}.{parquet,jsonl,tsv}; by default
            HEADSCOPE_DATA, else the hub.
        count: How many maps to draw, in strata of length and layer.
        family: The pre-trained model that MODEL descends from; by default MODEL itself.
        annotator: Who labels; each annotator has an order of maps and labels of their own.
        round: 1: first pass; 2: second, blind pass; 3: settle what two passes disagree on.
        agreement: Print how far the passes agree, and end.
        port: Port on 127.0.0.1; 0 takes a free one.
        browser: Open the page in the browser.
        seed: Random seed for subsampling, new weights, the order of batches and resampling.
        max_length: Longer examples are cut to so many tokens, and counted.
        quiet: Show no progress.

    Returns:
        Where the results are, and what they say.

    Raises:
        HeadscopeError: Something is wrong that you can mend: the message says how.
    """

def report(
    *runs: str | Path | Run | Sequence[str | Path | Run],
    out: str | Path | None = None,
    figures: str | Path | None = None,
    style: StyleName = "plain",
    heads: HeadsLike | None = None,
    example: int | None = None,
    quiet: bool = False,
) -> Page:
    """Build one offline HTML file from runs, or with `figures` figures as files.

    >>> headscope.report(run, out="demo.html")
    >>> headscope.report(run, figures="figures", style="acl", heads=["L3H1", "L7H6"])

    Args:
        runs: Runs or their folders, one or several.
        out: The HTML file to write; report.html by default.
        figures: Write the figures for a paper or for slides there, as SVG, PDF and CSV, with
            captions; no page without `out`.
        style: plain: as on the page; acl: the widths and the font of ACL's style, without titles;
            slides: large letters and thick lines for a slide of 16:9, as PNG too.
        heads: With `figures`: draw the maps of these heads side by side.
        example: Of which example, by its number in the table `examples`; by default the shortest
            that the run keeps.
        quiet: Show no progress.

    Returns:
        The page, which a notebook shows; its path is `path`.

    Raises:
        HeadscopeError: A folder holds no run, or not the heads or the example that are asked for.
    """
