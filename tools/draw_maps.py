"""Draw maps at random for the annotated set: python tools/draw_maps.py OUT UD NAME=MODEL...

OUT gets a `maps.parquet`; UD is the folder of the treebanks, a folder each; MODEL is the folder of
the model that DRAWS calls NAME, and GLUE stands where HEADSCOPE_DATA says. All draws of the named
models are made, in strata of length and third of the layers (`annotation.drawing.draw`), and the
maps that the annotated set has already are left out. `python tools/label_maps.py add OUT` adds them
to the set once they are labelled.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headscope.annotation.drawing import Origin, draw
from headscope.annotation.records import AnnotatedMap, read_maps, write_maps
from headscope.corpora import ud
from headscope.examples import Split
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.model.model import Model
from headscope.tasks import find
from headscope.tasks.files import load_data

SET = Path(__file__).parents[1] / "annotations"


@dataclass(frozen=True)
class Draw:
    """How many maps come from a model and a source: a task, or a treebank as ud:NAME/FILE."""

    model: str
    family: str
    source: str
    count: int


DRAWS = (
    Draw("mpnet", "mpnet", "mrpc", 30),
    Draw("mpnet", "mpnet", "rte", 30),
    Draw("mpnet", "mpnet", "qnli", 30),
    Draw("mpnet", "mpnet", "stsb", 30),
    Draw("mpnet", "mpnet", "sst2", 60),
    Draw("mpnet", "mpnet", "ud:English-EWT/en_ewt-ud-test", 60),
    Draw("mpnet-mrpc", "mpnet", "mrpc", 60),
    Draw("e5", "e5", "ud:Korean-GSD/ko_gsd-ud-dev", 20),
    Draw("e5", "e5", "ud:Russian-GSD/ru_gsd-ud-dev", 20),
    Draw("e5", "e5", "ud:Finnish-TDT/fi_tdt-ud-dev", 20),
)


def texts(source: str, treebanks: Path) -> Split:
    """The validation examples of a task, or the sentences of a treebank's file."""
    kind, _, file = source.partition(":")
    if kind != "ud":
        return load_data(find(source)).validation
    sentences = ud.read([treebanks / f"{file}.conllu.gz"], quiet=True).sentences
    first = tuple(sentence.text for sentence in sentences)
    return Split(first, None, np.zeros(len(first), np.int64))


def drawn(model: Model, wanted: Draw, treebanks: Path, seed: int) -> list[AnnotatedMap]:
    """The maps of one draw; a treebank goes by its name, without its file."""
    encoded = encode(texts(wanted.source, treebanks), model.tokenizer)
    origin = Origin(wanted.model, wanted.family, wanted.source.partition("/")[0])
    return draw(model, encoded, origin, wanted.count, seed)


def main() -> None:
    """Draw from every model that was named."""
    out, treebanks, *named = sys.argv[1:]
    folders = dict(pair.split("=", 1) for pair in named)
    known = {annotated.id for annotated in read_maps(SET)}
    maps: list[AnnotatedMap] = []
    for name, folder in folders.items():
        model = load(folder, labels=None)
        for seed, wanted in enumerate(DRAWS):
            if wanted.model != name:
                continue
            of_draw = drawn(model, wanted, Path(treebanks), seed)
            new = [annotated for annotated in of_draw if annotated.id not in known]
            print(f"{name} on {wanted.source}: {len(new)} of {len(of_draw)} new", flush=True)
            maps += new
    Path(out).mkdir(parents=True, exist_ok=True)
    write_maps(Path(out), maps)


if __name__ == "__main__":
    main()
