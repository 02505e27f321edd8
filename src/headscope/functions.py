"""The commands as functions of Python: they take what a person has in hand, and return a run.

`functions.pyi`, which tools/signatures.py writes, tells an editor their signatures and docstrings.
"""

from headscope.commands.annotate import annotate as _annotate
from headscope.commands.compare import compare as _compare
from headscope.commands.disable import disable as _disable
from headscope.commands.finetune import finetune as _finetune
from headscope.commands.measure import measure as _measure
from headscope.commands.prune import prune as _prune
from headscope.commands.python import function, item_function, report_function, run_function
from headscope.commands.relations import relations as _relations
from headscope.commands.report import report as _report
from headscope.commands.study import study as _study
from headscope.replication.items import gather as _gather
from headscope.replication.items import run_item as _run_item
from headscope.replication.run import paper as _paper

study = run_function(_study)
finetune = run_function(_finetune)
measure = run_function(_measure)
compare = run_function(_compare)
relations = run_function(_relations)
disable = run_function(_disable)
prune = run_function(_prune)
paper = run_function(_paper)
run_item = item_function(_run_item)
gather = run_function(_gather, "run")
annotate = function(_annotate)
report = report_function(_report)
