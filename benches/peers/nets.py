"""The compared nets in PyTorch, written from the layer definitions of the CIFAR-100 distillation papers, for timing alone.

Everything is for images of 3x32x32. `MODELS` maps a name of kd-engine's zoo to a function that makes the net.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel, stride=1, groups=1, bias=False):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def conv_bn(inputs, outputs, kernel, stride=1, groups=1, relu=True):
    layers = [conv(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Head(nn.Sequential):
    """Global average pool and classifier."""

    def __init__(self, channels, classes):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3, relu=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = conv_bn(inputs, outputs, 1, stride, relu=False) if changes else nn.Identity()

    def forward(self, x):
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


def resnet(depth, widths, classes):
    layers, inputs = [conv_bn(3, widths[0], 3)], widths[0]
    for stage, outputs in enumerate(widths[1:]):
        for block in range((depth - 2) // 6):
            layers.append(BasicBlock(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, Head(inputs, classes))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = 4 * width
        self.first = conv_bn(inputs, width, 1)
        self.second = conv_bn(width, width, 3, stride)
        self.third = conv_bn(width, outputs, 1, relu=False)
        changes = stride != 1 or inputs != outputs
        self.shortcut = conv_bn(inputs, outputs, 1, stride, relu=False) if changes else nn.Identity()

    def forward(self, x):
        return F.relu(self.third(self.second(self.first(x))) + self.shortcut(x), inplace=True)


def bottleneck_resnet(blocks, classes):
    layers, inputs = [conv_bn(3, 64, 3)], 64
    for stage, (width, count) in enumerate(zip([64, 128, 256, 512], blocks)):
        for block in range(count):
            layers.append(Bottleneck(inputs, width, 2 if stage > 0 and block == 0 else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, Head(inputs, classes))


class PreActivationBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs, 3)
        self.shortcut = conv(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x):
        active = F.relu(self.bn1(x), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(F.relu(self.bn2(self.conv1(active)), inplace=True)) + shortcut


def wide_resnet(depth, factor, classes):
    layers, inputs = [conv(3, 16, 3)], 16
    for stage, outputs in enumerate([16 * factor, 32 * factor, 64 * factor]):
        for block in range((depth - 4) // 6):
            layers.append(PreActivationBlock(inputs, outputs, 2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), Head(inputs, classes))


def vgg(blocks, classes):
    layers, inputs = [], 3
    for number, block in enumerate(blocks):
        for outputs in block:
            layers += [conv(inputs, outputs, 3, bias=True), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        if number < 3:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, Head(inputs, classes))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        hidden = inputs * expansion
        self.layers = nn.Sequential(
            conv_bn(inputs, hidden, 1),
            conv_bn(hidden, hidden, 3, stride, groups=hidden),
            conv_bn(hidden, outputs, 1, relu=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


def mobilenet_v2(classes):
    layers, inputs = [conv_bn(3, 16, 3, 2)], 16
    settings = [(1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)]
    for expansion, outputs, count, stride in settings:
        for block in range(count):
            layers.append(InvertedResidual(inputs, outputs, stride if block == 0 else 1, expansion))
            inputs = outputs
    return nn.Sequential(*layers, conv_bn(160, 1280, 1), Head(1280, classes))


def shuffle(x, groups):
    return x if groups == 1 else F.channel_shuffle(x, groups)


class ShuffleUnitV1(nn.Module):
    def __init__(self, inputs, outputs, stride, groups=3):
        super().__init__()
        self.stride, self.groups = stride, 1 if inputs == 24 else groups
        made = outputs - inputs if stride == 2 else outputs
        hidden = made // 4
        self.reduce = conv_bn(inputs, hidden, 1, groups=self.groups)
        self.depthwise = conv_bn(hidden, hidden, 3, stride, groups=hidden)
        self.expand = conv_bn(hidden, made, 1, groups=groups, relu=False)

    def forward(self, x):
        y = self.expand(self.depthwise(shuffle(self.reduce(x), self.groups)))
        if self.stride == 2:
            return F.relu(torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1), inplace=True)
        return F.relu(y + x, inplace=True)


def shufflenet_v1(classes):
    layers, inputs = [conv_bn(3, 24, 1)], 24
    for outputs, count in [(240, 4), (480, 8), (960, 4)]:
        for block in range(count):
            layers.append(ShuffleUnitV1(inputs, outputs, 2 if block == 0 else 1))
            inputs = outputs
    return nn.Sequential(*layers, Head(inputs, classes))


class ShuffleDownV2(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(conv_bn(inputs, inputs, 3, 2, groups=inputs, relu=False), conv_bn(inputs, half, 1))
        self.right = nn.Sequential(
            conv_bn(inputs, half, 1), conv_bn(half, half, 3, 2, groups=half, relu=False), conv_bn(half, half, 1)
        )

    def forward(self, x):
        return shuffle(torch.cat([self.left(x), self.right(x)], 1), 2)


class ShuffleBasicV2(nn.Module):
    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.right = nn.Sequential(
            conv_bn(half, half, 1), conv_bn(half, half, 3, groups=half, relu=False), conv_bn(half, half, 1)
        )

    def forward(self, x):
        left, right = x.chunk(2, 1)
        return shuffle(torch.cat([left, self.right(right)], 1), 2)


def shufflenet_v2(classes):
    layers, inputs = [conv_bn(3, 24, 1)], 24
    for outputs, count in [(116, 3), (232, 7), (464, 3)]:
        layers += [ShuffleDownV2(inputs, outputs), *(ShuffleBasicV2(outputs) for _ in range(count))]
        inputs = outputs
    return nn.Sequential(*layers, conv_bn(464, 1024, 1), Head(1024, classes))


MODELS = {
    "resnet8": lambda classes: resnet(8, [16, 16, 32, 64], classes),
    "resnet14": lambda classes: resnet(14, [16, 16, 32, 64], classes),
    "resnet20": lambda classes: resnet(20, [16, 16, 32, 64], classes),
    "resnet56": lambda classes: resnet(56, [16, 16, 32, 64], classes),
    "ResNet50": lambda classes: bottleneck_resnet([3, 4, 6, 3], classes),
    "resnet8x4": lambda classes: resnet(8, [32, 64, 128, 256], classes),
    "wrn_16_2": lambda classes: wide_resnet(16, 2, classes),
    "wrn_40_2": lambda classes: wide_resnet(40, 2, classes),
    "wrn_28_10": lambda classes: wide_resnet(28, 10, classes),
    "vgg8": lambda classes: vgg([[64], [128], [256], [512], [512]], classes),
    "vgg13": lambda classes: vgg([[64, 64], [128, 128], [256, 256], [512, 512], [512, 512]], classes),
    "MobileNetV2": mobilenet_v2,
    "ShuffleV1": shufflenet_v1,
    "ShuffleV2": shufflenet_v2,
}

# Trainable parameters for 100 classes, as published with these nets.
PARAMETERS = {
    "resnet8": 83_892,
    "resnet14": 181_108,
    "resnet20": 278_324,
    "resnet56": 861_620,
    "ResNet50": 23_705_252,
    "resnet8x4": 1_233_540,
    "wrn_16_2": 703_284,
    "wrn_40_2": 2_255_156,
    "wrn_28_10": 36_536_884,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "MobileNetV2": 812_836,
    "ShuffleV1": 949_258,
    "ShuffleV2": 1_355_528,
}
