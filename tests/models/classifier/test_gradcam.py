"""Grad-CAM: all classes at once equal one at a time, the closed form equals the general path, and a peer agrees."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models.classifier.gradcam import compute_gradcams
from models.classifier.network import build_tag_classifier


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def make_classifier() -> nn.Module:
    torch.manual_seed(0)
    network = build_tag_classifier(backbone="small", class_count=4, levels=2, channels=16).eval()
    nn.init.normal_(network.classify.weight)
    return network


def pool(logits: torch.Tensor) -> torch.Tensor:
    return logits.mean((-2, -1))


def compute_linear_cams(features: torch.Tensor, weight: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    """Grad-CAMs where the score is the mean of a linear map: its gradient is the weight over the number of cells."""
    cells = features.shape[-2] * features.shape[-1]
    return torch.einsum("ck,bkhw->bchw", weight / cells, features).relu() * tags[..., None, None]


def test_closed_form_equals_the_general_path() -> None:
    network = make_classifier()
    images = torch.rand(3, 3, 32, 48) * 255
    tags = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    spied = SpiedClassifier(network)
    general = compute_gradcams(spied, spied.features, images, tags, score=pool)
    features = network.decode(images).detach()
    linear = compute_linear_cams(features, network.classify.weight.detach()[:, :, 0, 0], tags)
    assert general.shape == linear.shape == (3, 4, 8, 12)
    torch.testing.assert_close(general, linear, atol=1e-5, rtol=1e-5)
    assert linear.max() > 0 and not general[2].any() and not general[0, 1].any()


class SpiedClassifier(nn.Module):
    """A classifier whose decoded features are the output of a module of their own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.features = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.classify(self.features(self.network.decode(images)))


@pytest.mark.parametrize("layer", ["backbone.stages.0", "backbone.stages.1", "lateral.0", "fuse.0"])
def test_all_classes_at_once_equal_one_backward_pass_each(layer: str) -> None:
    network = make_classifier()
    images = torch.rand(2, 3, 32, 32) * 255
    tags = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=torch.bool)
    module = network.get_submodule(layer)
    got = compute_gradcams(network, module, images, tags, score=pool)
    for image, c in tags.nonzero().tolist():
        captured: list[torch.Tensor] = []
        hook = module.register_forward_hook(lambda m, i, o, captured=captured: captured.append(o))
        score = pool(network(images[image : image + 1]))[0, c]
        hook.remove()
        (gradient,) = torch.autograd.grad(score, captured[0])
        expected = (gradient.mean((-2, -1), keepdim=True) * captured[0]).sum(1).relu()[0].detach()
        torch.testing.assert_close(got[image, c], expected, atol=1e-6, rtol=1e-4)
    assert not got[0, 2].any() and not got[1, 1].any()


def test_equals_the_grad_cam_package() -> None:
    pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(num_classes=5).eval()
    network.fc.weight.data *= 1e4  # the package adds 1e-7 to the maximum of each map
    images = torch.rand(2, 3, 64, 96)
    tags = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 1, 0, 1]], dtype=torch.bool)
    ours = compute_gradcams(network, network.layer3, images, tags)
    with GradCAM(model=network, target_layers=[network.layer3]) as peer:
        for image, c in tags.nonzero().tolist():
            theirs = peer(images[image : image + 1], targets=[ClassifierOutputTarget(c)])[0]
            # The package resizes to the image and scales to [0, 1], before and after; do the same.
            one = scale_to_unit(cv2.resize(scale_to_unit(ours[image, c].numpy()), theirs.shape[::-1]))
            np.testing.assert_allclose(one, theirs, atol=1e-5)


def scale_to_unit(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / (1e-7 + values.max() - values.min())


def test_the_network_is_left_without_hooks_and_gradients() -> None:
    network = make_classifier()
    compute_gradcams(network, network.fuse[0], torch.rand(1, 3, 32, 32), torch.ones(1, 4, dtype=torch.bool), score=pool)
    assert not network.fuse[0]._forward_hooks
    assert all(p.grad is None for p in network.parameters())


def test_no_tags_give_zeros_and_mistakes_are_named() -> None:
    network = make_classifier()
    images = torch.rand(1, 3, 32, 32)
    none = torch.zeros(1, 4, dtype=torch.bool)
    assert not compute_gradcams(network, network.fuse[0], images, none, score=pool).any()
    with pytest.raises(ValueError, match="no part"):
        compute_gradcams(network, nn.Identity(), images, none, score=pool)
    with pytest.raises(ValueError, match="differ in shape"):
        compute_gradcams(network, network.fuse[0], images, none)
