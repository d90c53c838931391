"""The same work here and in PyTorch."""

import json

from .bench import CLASSROOMS, measure, precisions
from .machine import ROOT, output
from .stage import failed, last_line, skipped

PEERS = ROOT / "benches" / "peers"
WIDE = ["wrn_28_10", "vgg13", "ResNet50"]
VARIANTS = ["eager", "amp", "graphs", "compile-graphs", "compile"]


def peers(stage):
    python = stage.arguments.python
    if stage.small:
        wanted, variants = [("resnet8", 4)], ["eager"]
    else:
        wanted = [(what, batch) for batch in (64, 512) for what in CLASSROOMS]
        wanted += [("pretrain " + CLASSROOMS[0], 64), ("resnet20", 512), *((net, 128) for net in WIDE)]
        variants = stage.arguments.variants
    needed = "import torch; print(torch.__version__)" + ("" if stage.small else "; torch.cuda.get_device_name()")
    # Slow variants last, of all classrooms: what there is time for is the most that can be compared.
    compared = [(variant, what, batch) for variant in variants for what, batch in wanted]
    if not stage.arguments.list and not output(python, "-c", needed):
        reason = f"{python} has no PyTorch" + ("" if stage.small else " that sees a GPU")
        stage.do("pytorch", lambda limit: end(skipped(reason) if stage.small else failed(reason)))
        compared = [(None, what, batch) for what, batch in wanted]
    for variant, what, batch in compared:
        if variant:
            # Compilers try many kernels: they may take what is left.
            most = 600 if variant.startswith("compile") else 120
            name = f"{what} b{batch} pytorch {variant}"
            stage.do(name, lambda limit: theirs(stage, what, batch, variant, limit), most)
        if variant in (None, variants[0]):
            for precision in precisions(stage):
                name = f"{what} b{batch} kd-engine" + (f" {precision}" if precision else "")
                stage.do(name, lambda limit: ours(stage, what, batch, precision, limit), 120)


def end(reason):
    raise reason


def theirs(stage, what, batch, variant, limit):
    pretrain, _, name = what.rpartition(" ")
    command = [stage.arguments.python, "-B", PEERS / "pytorch_classroom.py", name, *["--pretrain"] * bool(pretrain)]
    command += ["--variant", variant, "--batch", batch, "--seconds", stage.arguments.seconds]
    command += ["--device", "cpu", "--warm-up", 1] if stage.small else ["--device", stage.arguments.device]
    status, text, error = stage.run(command, limit, TORCHINDUCTOR_CACHE_DIR=str(stage.arguments.compiled))
    if status != 0:
        raise failed(f"{last_line(error)} (exit status {status})")
    # The document comes last; compilers may have talked before it.
    return {"entries": [json.loads(text[text.rindex("{") :])]}


def ours(stage, what, batch, precision, limit):
    kind = "pretrain" if what.startswith("pretrain ") else "classroom" if what in CLASSROOMS else "train"
    return {"entries": measure(stage, f"{kind}-step/{what.rpartition(' ')[2]}/", limit, batch, precision)}
