"""The same work here and in PyTorch."""

import json

from .bench import end, measure, suite
from .machine import ROOT, output
from .stage import failed, last_line, skipped

PEERS = ROOT / "benches" / "peers"
VARIANTS = ["eager", "amp", "graphs", "compile-graphs", "compile"]


# Ours, beside each of theirs.
PRECISIONS = ["bf16", "f32"]


def steps(stage):
    """What is compared: (kind, name, batch), as the suite has it."""
    if stage.small:
        return [("train", "resnet8", 4)]
    found = []
    for name in suite(stage):
        kind, _, rest = name.partition("-step/")
        if rest:
            what, batch, _ = rest.split("/")
            step = (kind, what, int(batch.removeprefix("b")))
            if step not in found:
                found.append(step)
    return found


def peers(stage):
    python = stage.arguments.python
    wanted, variants = steps(stage), ["eager"] if stage.small else stage.arguments.variants
    if not wanted:
        stage.do("suite", lambda limit: end(failed("the program lists no suite")))
    needed = "import torch; print(torch.__version__)" + ("" if stage.small else "; torch.cuda.get_device_name()")
    # Slow variants last, of all classrooms: what there is time for is the most that can be compared.
    compared = [(variant, step) for variant in variants for step in wanted]
    if not stage.arguments.list and not output(python, "-c", needed):
        reason = f"{python} has no PyTorch" + ("" if stage.small else " that sees a GPU")
        stage.do("pytorch", lambda limit: end(skipped(reason) if stage.small else failed(reason)))
        compared = [(None, step) for step in wanted]
    for variant, step in compared:
        kind, what, batch = step
        label = f"pretrain {what}" if kind == "pretrain" else what
        if variant:
            # Compilers try many kernels: they may take what is left.
            most = 600 if variant.startswith("compile") else 120
            name = f"{label} b{batch} pytorch {variant}"
            stage.do(name, lambda limit: theirs(stage, step, variant, limit), most)
        if variant in (None, variants[0]):
            for precision in ["f32"] if stage.small else PRECISIONS:
                name = f"{label} b{batch} kd-engine" + ("" if stage.small else f" {precision}")
                stage.do(name, lambda limit: ours(stage, step, precision, limit), 120)


def theirs(stage, step, variant, limit):
    kind, what, batch = step
    more = ["--pretrain"] if kind == "pretrain" else []
    command = [stage.arguments.python, "-B", PEERS / "pytorch_classroom.py", what, *more]
    command += ["--variant", variant, "--batch", batch, "--seconds", stage.arguments.seconds]
    command += ["--device", "cpu", "--warm-up", 1] if stage.small else ["--device", stage.arguments.device]
    status, text, error = stage.run(command, limit, TORCHINDUCTOR_CACHE_DIR=str(stage.arguments.compiled))
    if status != 0:
        raise failed(f"{last_line(error)} (exit status {status})")
    # The document comes last; compilers may have talked before it.
    return {"entries": [json.loads(text[text.rindex("{") :])]}


def ours(stage, step, precision, limit):
    kind, what, batch = step
    entries = measure(stage, f"{kind}-step/{what}/", limit, "--batch", batch, "--precision", precision)
    # The exact one: a filter may fit more.
    wanted = f"{kind}-step/{what}/b{batch}/{precision}"
    return {"entries": [entry for entry in entries if entry["name"] == wanted] or entries}
