"""Add candidates for block to the annotated set: python tools/draw_blocks.py NAME FAMILY MODEL TASK
COUNT SEED [MARK].

Unlabelled maps, chosen by mass inside the own text (`annotation.drawing.draw_blocks`), to be
labelled by look like all others. NAME is the model's name in the set, FAMILY that of its
pre-trained weights; MARK is added to `drawn`.
"""

import sys
from dataclasses import replace
from pathlib import Path

from headscope.annotation.drawing import Origin, draw_blocks
from headscope.annotation.records import read_maps, write_maps
from headscope.model.encoding import encode
from headscope.model.loading import load
from headscope.tasks import find
from headscope.tasks.files import load_data

SET = Path(__file__).parents[1] / "annotations"


def main() -> None:
    """Draw, and add what is new."""
    name, family, folder, task, count, seed, *mark = sys.argv[1:]
    model = load(folder, labels=None)
    encoded = encode(load_data(find(task)).validation, model.tokenizer)
    drawn = draw_blocks(model, encoded, Origin(name, family, task), int(count), int(seed))
    known = read_maps(SET)
    ids = {one.id for one in known}
    new = [replace(one, drawn=", ".join([one.drawn, *mark])) for one in drawn if one.id not in ids]
    write_maps(SET, [*known, *new])
    print(f"{len(new)} of {len(drawn)} new")


if __name__ == "__main__":
    main()
