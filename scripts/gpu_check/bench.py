"""How fast it is."""

import json

from .machine import output
from .stage import failed

LIMIT = 240  # seconds of a step


def suite(stage):
    """Names of what is measured on a GPU, as the program lists them, most important first."""
    text = output(stage.arguments.binary, "bench", "--suite", "gpu", "--list", "--json", "--device", "cpu")
    try:
        return json.loads(text)["names"]
    except (ValueError, KeyError):
        return []


def measure(stage, filter_, limit, *more):
    """Entries of `kd-engine bench`."""
    status, document = stage.document(limit, "bench", filter_, *more, "--seconds", stage.arguments.seconds)
    if status != 0 or not document.get("entries"):
        raise failed(f"nothing was measured (exit status {status})")
    return document["entries"]


def groups(names):
    """Patterns that together mean all names: whole steps one by one, workloads by their kind, layers by pass, batch and
    precision."""
    found = []
    for name in names:
        kind, *rest = name.split("/")
        if kind == "kernel":
            name = f"kernel/{rest[0]}/*/{rest[-2]}/{rest[-1]}"
        elif kind == "workload":
            name = f"workload/{rest[0].split(':')[0]}:*"
        if name not in found:
            found.append(name)
    return found


def bench(stage):
    if stage.small:
        # On the simulator kernels are counted.
        kernels = "kernel/" if stage.arguments.full else "kernel/add_" if stage.arguments.device == "sim" else None
        for filter_ in ["train-step/resnet8/", kernels]:
            if filter_:
                work = lambda limit, f=filter_: {"entries": measure(stage, f, limit, "--batch", 2)}
                stage.do(f"{filter_}b2", work, LIMIT)
        return
    names = suite(stage)
    if not names:
        stage.do("suite", lambda limit: end(failed("the program lists no suite")))
    for pattern in groups(names):
        work = lambda limit, p=pattern: {"entries": measure(stage, p, limit, "--suite", "gpu")}
        stage.do(pattern, work, LIMIT)


def end(reason):
    raise reason
