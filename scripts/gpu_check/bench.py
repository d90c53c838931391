"""How fast it is."""

from .machine import output
from .stage import failed

CLASSROOMS = ["classroomkd-MobileNetV2-ResNet50", "classroomkd-resnet20-resnet56", "classroomkd-wrn_16_2-wrn_40_2"]
NETS = ["resnet20", "resnet56", "wrn_16_2", "wrn_40_2", "wrn_28_10", "vgg13", "MobileNetV2", "ShuffleV2"]


def measure(stage, filter_, limit, batch=None, precision=None):
    """Entries of `kd-engine bench`."""
    more = ["--seconds", stage.arguments.seconds]
    more += ["--batch", batch] if batch else []
    more += ["--precision", precision] if precision else []
    status, document = stage.document(limit, "bench", filter_, *more)
    if status != 0 or not document.get("entries"):
        raise failed(f"nothing was measured (exit status {status})")
    return document["entries"]


def precisions(stage):
    """bf16 and float32 where this program measures both; else what it does."""
    if stage.small or "--precision" not in output(stage.arguments.binary, "bench", "--help"):
        return [None]
    return ["bf16", "f32"]


def bench(stage):
    if stage.small:
        wanted = [("train-step/resnet8/", 2), ("kernel/", 2)] if stage.arguments.full else [("train-step/resnet8/", 2)]
    else:
        wanted = [(f"classroom-step/{classroom}/", batch) for batch in (64, 512) for classroom in CLASSROOMS]
        wanted += [(f"pretrain-step/{CLASSROOMS[0]}/", batch) for batch in (64, 512)]
        wanted += [(f"train-step/{net}/", batch) for batch in (64, 128, 512, 2048) for net in NETS]
        wanted += [("kernel/", 64), ("kernel/", 512)]
    for precision in precisions(stage):
        for filter_, batch in wanted:
            name = f"{filter_}b{batch}" + (f"/{precision}" if precision else "")
            work = lambda limit, f=filter_, b=batch, p=precision: {"entries": measure(stage, f, limit, b, p)}
            stage.do(name, work, 240)
