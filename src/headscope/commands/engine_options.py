"""The types of the arguments that say who does the work, each with its help text."""

from typing import Annotated

from cyclopts import Parameter

Engine = Annotated[
    str,
    Parameter(
        help="Where the work is done: local (this process), processes (a process for every GPU, or "
        "processor, of this machine), ray (a Ray cluster, begun here) or ray:ADDRESS."
    ),
]
Workers = Annotated[
    int,
    Parameter(help="How many processes share the work on this machine; several can share a GPU."),
]
GpusPerItem = Annotated[
    float | None,
    Parameter(
        help="How much of a GPU an item takes on a Ray cluster, as in 0.25; by default one, where "
        "there is any."
    ),
]
Devices = Annotated[
    str | None,
    Parameter(
        help="Devices that share the work, as in cuda:0,cuda:1; by default the first GPU, else "
        "the processor."
    ),
]
