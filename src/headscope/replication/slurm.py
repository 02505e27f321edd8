"""The script that hands a plan to SLURM: one array of jobs for each level of needs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscope.replication.batch import Plan

_HEAD = """\
#!/usr/bin/env bash
# Written by headscope paper --plan. Hands the items of plan.json to SLURM:
#   bash {script} [options of sbatch, such as --partition=gpu --gres=gpu:1 --time=4:00:00]
# Run again after a failure, it does what is left: an item that is done ends at once.
set -euo pipefail

item={item}
gather={gather}
# Jobs begin in the folder in which the plan was made.
cd -- {folder}

# What sbatch says of a job is its number, behind which the name of the cluster can stand.
submit() {{
  local said
  # Within $(...) bash does not end at what fails.
  said=$(sbatch --parsable "$@") || return
  printf '%s\\n' "${{said%%;*}}"
}}
"""
_NAME = "--job-name=headscope"


def submit_script(plan: Plan, run: Path, script: Path) -> str:
    """The script, for bash.

    The items of a level are tasks of one array, the longest first, and begin when all of the level
    below have ended well. The last job puts the tables together, or names what is missing.

    Args:
        plan: The plan.
        run: The folder of the run.
        script: The path of the script, for its first lines.
    """
    program = shlex.join([sys.executable, "-m", "headscope"])
    place = shlex.quote(str(run.absolute()))
    lines = [
        _HEAD.format(
            # A comment ends with its line.
            script=shlex.quote(str(script)).replace("\n", " "),
            item=shlex.quote(f'{program} run-item {place} "$SLURM_ARRAY_TASK_ID"'),
            gather=shlex.quote(f"{program} gather {place}"),
            folder=shlex.quote(str(Path.cwd())),
        )
    ]
    jobs: list[str] = []
    for level, items in enumerate(plan.levels, 1):
        after = ""
        if jobs:
            after = f' --dependency="afterok:${jobs[-1]}" --kill-on-invalid-dep=yes'
        numbers = f"{items[0].number}-{items[-1].number}"
        minutes = max(item.seconds for item in items) / 60
        jobs.append(f"level{level}")
        lines.append(
            f"# {len(items)} items, the longest about {minutes:.1f} minutes where the plan was made"
        )
        line = f'level{level}=$(submit {_NAME} "$@" --array={numbers}{after} --wrap="$item")'
        lines.append(line)
    every = ":".join(f"${job}" for job in jobs)
    lines += [
        "# Whether or not all went well: what is missing is named.",
        f'last=$(submit {_NAME} "$@" --dependency="afterany:{every}" --wrap="$gather")',
        f'echo "submitted {len(plan.items)} items and job $last, which gathers them: squeue --me"',
    ]
    return "\n".join(lines) + "\n"
