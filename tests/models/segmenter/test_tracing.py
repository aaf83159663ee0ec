import pytest
import torch
from timm.layers import Conv2dSame
from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
from timm.layers.std_conv import StdConv2dSame
from torch import nn

from models.segmenter.tracing import keep_sizes_symbolic

LAYERS = {
    "conv": lambda kernel, stride: Conv2dSame(2, 3, kernel, stride),
    "standardised": lambda kernel, stride: StdConv2dSame(2, 3, kernel, stride, padding="same"),
    "max": lambda kernel, stride: MaxPool2dSame(kernel, stride),
    "mean": lambda kernel, stride: AvgPool2dSame(kernel, stride),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (7, 4), (1, 2)])
def test_fixed_padding_is_that_of_sizes_that_the_stride_divides(kind, kernel, stride):
    torch.manual_seed(0)
    layer = nn.Sequential(LAYERS[kind](kernel, stride)).eval()
    images = torch.randn(2, 2, 24, 32)
    expected = layer(images)
    with keep_sizes_symbolic(layer):
        torch.testing.assert_close(layer(images), expected)
    torch.testing.assert_close(layer(images), expected)


def test_fixed_padding_does_not_look_at_the_size():
    layer = nn.Sequential(Conv2dSame(1, 1, 3, 2))
    images = torch.ones(1, 1, 25, 32)
    assert layer(images).shape == (1, 1, 13, 16)
    with keep_sizes_symbolic(layer):
        assert layer(images).shape == (1, 1, 12, 16)
    assert layer(images).shape == (1, 1, 13, 16)
