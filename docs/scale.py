"""Computes the shards of a script on a Ray cluster, joins their states and makes the report of them.

    pip install ray
    convscope index "data/*.parquet" --rows 10000 -o shards.parquet
    python docs/scale.py study.rhai shards.parquet 48 states

A worker that dies takes nothing with it: Ray starts its task again, and `convscope shard` resumes after the last wave that it
kept. The folder of the states is one that all machines see. RAY_ADDRESS names a cluster; without it, it is this machine.
"""

import pathlib
import subprocess
import sys

import ray

PROGRAM = "convscope"


@ray.remote(max_retries=3, num_cpus=1)
def shard(script, shards, i, states):
    out = pathlib.Path(states) / f"{i:06}.state"
    command = [PROGRAM, "shard", script, "--shards", shards, "--range", f"{i}..{i + 1}", "-o", str(out)]
    done = subprocess.run(command + ["--quiet", "--threads", "1", "--wave", "1000"], capture_output=True, text=True)
    return (i, "" if done.returncode == 0 else done.stderr)


def main():
    script, shards, count, states = sys.argv[1:5]
    pathlib.Path(states).mkdir(exist_ok=True)
    ray.init(log_to_driver=False)
    waiting = [shard.remote(script, shards, i, states) for i in range(int(count))]
    failed = []
    while waiting:
        ready, waiting = ray.wait(waiting)
        for i, why in ray.get(ready):
            print(f"shard {i} {'failed: ' + why if why else 'done'}, {len(waiting)} left", flush=True)
            failed += [i] if why else []
    if failed:
        sys.exit(f"shards {failed} failed; the same command computes them again")
    subprocess.run([PROGRAM, "merge", states, "--complete", "-o", "all.state"], check=True)
    subprocess.run([PROGRAM, "run", script, "--states", "all.state"], check=True)


if __name__ == "__main__":
    main()
