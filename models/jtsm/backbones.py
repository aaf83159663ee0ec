"""Backbones of JTSM: one feature map at stride 8, because proposals are small (Shen et al., CVPR 2021).

The authors use ResNet-WS (Shen et al., ECCV 2020): a stem of three 3x3 convolutions, and max-pooling
wherever a ResNet has a stride. Alternatives are the backbones of :mod:`models.backbones` with strides
replaced by dilation, which keeps their weights valid; timm dilates its own networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.backbones import BACKBONE_NAMES, Backbone, build_backbone, is_member, normalise_images
from models.backbones.base import PretrainedModule
from models.backbones.resnet import ResNetBackbone
from models.backbones.small import SmallBackbone
from models.classifier.model import ClassifierModel
from models.classifier.network import TagClassifier, build_tag_classifier
from models.jtsm.resnet_ws import BasicBlock, Bottleneck, Stem, make_ws_stage
from models.jtsm.resnet_ws_weights import read_resnet_ws_weights
from pseudogt.config.mining import DENSE_LEVELS, RESNET_WS

STRIDE = 8
"""Pixels per cell of the feature map."""

JTSM_BACKBONE_NAMES = (*RESNET_WS, *BACKBONE_NAMES)

INITS = ("weights", "classifier", "scratch")
FREEZES = ("all", "norm", "none")

BGR_MEAN = (102.9801, 115.9465, 122.7717)
"""Values to subtract from blue, green and red in 0..255 for ResNet-WS weights."""

WS_BLOCKS = {"resnet_ws18": (2, 2, 2, 2), "resnet_ws50": (3, 4, 6, 3), "resnet_ws101": (3, 4, 23, 3)}
"""Residual blocks of res2, res3, res4 and res5."""


class JtsmBackbone(PretrainedModule, ABC):
    """Base of all backbones in this module.

    Parameters
    ----------
    channels : int
        Width of the feature map.
    architecture : dict
        Keywords of :func:`build_jtsm_backbone` that build the same network again.
    """

    stride = STRIDE
    multiple = STRIDE
    """Images are padded to multiples of it; 1 means no padding."""

    def __init__(self, *, channels: int, architecture: dict[str, Any]) -> None:
        super().__init__()
        self.channels = channels
        self.architecture = architecture
        self.freeze = "none"

    @abstractmethod
    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255 as the float32 input of :meth:`forward`; pad it afterwards, with 0."""

    @abstractmethod
    def compute_features(self, images: Tensor) -> Tensor:
        """Features ``(B, C, H / stride, W / stride)`` of normalised images whose size is a multiple of ``multiple``."""

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, channels, H / stride, W / stride)`` of normalised images ``(B, 3, H, W)``.

        Raises
        ------
        ValueError
            If H or W is not a multiple of ``multiple``.
        """
        height, width = images.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise ValueError(f"images of {width}x{height}: pad them to multiples of {self.multiple} after normalising")
        return self.compute_features(images)

    def set_freeze(self, freeze: str) -> None:
        """Choose what training changes.

        ``all``: nothing, as in the paper. ``norm``: all but the normalisation layers, whose statistics
        stay too, which small batches need. ``none``: everything.
        """
        if freeze not in FREEZES:
            raise ValueError(f"unknown freeze {freeze!r}; choose one of {', '.join(FREEZES)}")
        self.freeze = freeze
        for parameter in self.pretrained_parameters():
            parameter.requires_grad_(freeze != "all")
        for norm in self._norms():
            norm.requires_grad_(freeze == "none")
        self.train(self.training)

    def train(self, mode: bool = True) -> JtsmBackbone:
        """Set the training mode; frozen normalisation layers keep to their statistics in either."""
        super().train(mode)
        if self.freeze != "none":
            for norm in self._norms():
                norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, _BatchNorm)]


def build_jtsm_backbone(
    name: str,
    *,
    init: str,
    weights: str | Path | None = None,
    levels: int = 4,
    decoder_channels: int = 0,
    class_count: int = 0,
    freeze: str = "all",
    padding: bool = True,
) -> JtsmBackbone:
    """Build a backbone with a feature map at stride 8, or 4 with one level or with a decoder.

    Parameters
    ----------
    name : str
        One of ``JTSM_BACKBONE_NAMES``, or a member of a family, as in ``timm/resnet50``.
    init : str
        Where its weights come from: ``weights``, a file (ResNet-WS: a pickle of its authors; others: see
        :func:`models.backbones.build_backbone`); ``classifier``, the model file of this workflow's tag
        classifier with the same backbone; ``scratch``, nowhere.
    weights : path or str, optional
        The file. Needed unless ``init`` is ``scratch``, an error if it is.
    levels : int
        Stages of the network up to the one whose output is the feature map, 1 to 4; the stages after
        it are left out. With ``classifier`` it is the number that the classifier used, whatever is given:
        the others were never trained. ResNet-WS always has 4.
    decoder_channels : int
        Width of the decoder of the tag classifier, whose output is then the feature map; 0 for none. With
        ``classifier``, any other number selects its decoder, at the decoder's own width.
    class_count : int
        Number of classes of the tag classifier; unused without a decoder.
    freeze : str
        See :meth:`JtsmBackbone.set_freeze`.
    padding : bool
        Whether images are filled up to multiples of the stride. ResNet-WS can do without, as the "v1" of the JTSM
        code does for VOC 2007.

    Raises
    ------
    ValueError
        For an unknown name, init or freeze, and for weights that are missing or do not fit.
    """
    if name not in JTSM_BACKBONE_NAMES and not is_member(name):
        raise ValueError(f"unknown backbone {name!r}; choose one of {', '.join(JTSM_BACKBONE_NAMES)}")
    if init not in INITS:
        raise ValueError(f"unknown init {init!r} of the backbone; choose one of {', '.join(INITS)}")
    if (init == "scratch") != (weights is None):
        raise ValueError(
            f"backbone {name!r} with init {init!r} and weights {weights!r}: "
            "weights name a file, and only init 'scratch' goes without"
        )
    if not padding and name not in RESNET_WS:
        raise ValueError(f"backbone {name!r} needs padding; only {', '.join(RESNET_WS)} can do without")
    source = None if weights is None else str(weights)
    backbone: JtsmBackbone
    if name in RESNET_WS:
        backbone = _build_resnet_ws(name, init, source, levels)
        backbone.multiple = STRIDE if padding else 1
    elif init == "classifier":
        backbone = _take_from_classifier(name, Path(str(source)), with_decoder=bool(decoder_channels))
    elif decoder_channels:
        backbone = _build_decoded(name, init, levels, decoder_channels, class_count)
    elif is_member(name):
        backbone = MemberBackbone(_build_member(name, source, levels), name=name, levels=levels)
    else:
        backbone = DilatedBackbone(build_backbone(name, weights=source), name=name, levels=levels)
    backbone.set_freeze(freeze)
    return backbone


def _build_resnet_ws(name: str, init: str, weights: str | None, levels: int) -> ResNetWS:
    if init == "classifier":
        raise ValueError(f"the tag classifier has no backbone {name!r}; choose one of {', '.join(BACKBONE_NAMES)}")
    if levels != 4:
        raise ValueError(f"backbone {name!r} has 4 levels, not {levels}")
    backbone = ResNetWS(name)
    if weights is not None:
        state, _ = read_resnet_ws_weights(weights, backbone.state_dict())
        backbone.load_state_dict(state)
    return backbone


def _build_member(name: str, weights: str | None, levels: int) -> Backbone:
    """Build a member of a family with all features from the second on at stride 8."""
    return build_backbone(name, weights=weights, levels=levels, dense=levels > DENSE_LEVELS)


def _build_decoded(name: str, init: str, levels: int, channels: int, class_count: int) -> DecodedBackbone:
    if init != "scratch":
        raise ValueError(f"a decoder comes from the tag classifier: init 'classifier' has one, init {init!r} has not")
    classifier = build_tag_classifier(backbone=name, class_count=class_count, levels=levels, channels=channels)
    return DecodedBackbone(classifier, name=name, levels=levels, channels=channels, class_count=class_count)


def _take_from_classifier(name: str, path: Path, *, with_decoder: bool) -> JtsmBackbone:
    model = ClassifierModel.load(path)
    found, levels = model.architecture["backbone"], model.architecture["levels"]
    if found != name:
        raise ValueError(
            f"{path}: a tag classifier with backbone {found!r}; set the backbone of JTSM to it, not {name!r}"
        )
    if with_decoder:
        # Reorder the outputs of the last layer: things first, as everywhere in JTSM.
        last = model.network.classify
        order = torch.from_numpy(model.classes.things_first).long()
        last.weight.data, last.bias.data = last.weight.data[order], last.bias.data[order]  # type: ignore[union-attr]
        return DecodedBackbone(
            model.network,
            name=name,
            levels=levels,
            channels=model.architecture["channels"],
            class_count=len(model.classes),
        )
    trained = model.network.backbone
    if not is_member(name):
        return DilatedBackbone(trained, name=name, levels=levels)
    body = _build_member(name, None, levels)
    body.load_state_dict(trained.state_dict())
    return MemberBackbone(body, name=name, levels=levels)


class ResNetWS(JtsmBackbone):
    """ResNet-WS with dilation in its last two stages (Shen et al., ECCV 2020; the "v2" of the JTSM code).

    Its keys are those of the authors' weight files in Detectron2's layout.

    Parameters
    ----------
    name : str
        One of ``RESNET_WS``.
    """

    def __init__(self, name: str) -> None:
        block: Callable[..., nn.Module] = BasicBlock if name == "resnet_ws18" else Bottleneck
        width = 64 if name == "resnet_ws18" else 256
        super().__init__(channels=8 * width, architecture={"name": name, "levels": 4})
        counts = WS_BLOCKS[name]
        self.stem = Stem()
        self.res2 = make_ws_stage(block, 64, width, counts[0], dilation=1, pool=None)
        self.res3 = make_ws_stage(block, width, 2 * width, counts[1], dilation=1, pool=2)
        self.res4 = make_ws_stage(block, 2 * width, 4 * width, counts[2], dilation=2, pool=1)
        self.res5 = make_ws_stage(block, 4 * width, 8 * width, counts[3], dilation=2, pool=None)

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255 as BGR without its mean."""
        mean = torch.tensor(BGR_MEAN, device=images.device).view(1, 3, 1, 1)
        return images.flip(1).float() - mean

    def compute_features(self, images: Tensor) -> Tensor:
        """Output of res5 ``(B, 512 or 2048, H / 8, W / 8)``."""
        return self.res5(self.res4(self.res3(self.res2(self.stem(images)))))


class DilatedBackbone(JtsmBackbone):
    """A backbone of :mod:`models.backbones` whose strides after the eighth are replaced by dilation (à trous).

    Its feature map holds the cells of the original one and those between them.

    Parameters
    ----------
    body : SmallBackbone or ResNetBackbone
        Its stages are taken over and changed in place.
    name : str
    levels : int
        Stages to keep, 1 to 4. The first alone has a map at stride 4, in which each cell sees little of
        its surroundings: for small images, in which a wider view takes in whole objects beside a proposal.
    """

    def __init__(self, body: Backbone, *, name: str, levels: int) -> None:
        if not 1 <= levels <= 4:
            raise ValueError(f"backbone {name!r} with {levels} levels: it has 4 of them")
        super().__init__(channels=body.channels[levels - 1], architecture={"name": name, "levels": levels})
        self.stride = 4 if levels == 1 else STRIDE
        self.stem, stages = _split(body)
        self.stages = nn.Sequential(*stages[:levels])
        for before, stage in zip((1, 2), self.stages[2:], strict=False):
            # The input of the third stage is as dense as its weights expect; that of the fourth is twice as dense.
            _dilate(stage, before)

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255 with ImageNet's mean and deviation removed."""
        return normalise_images(images)

    def compute_features(self, images: Tensor) -> Tensor:
        """Output of the last stage kept."""
        return self.stages(self.stem(images))


class MemberBackbone(JtsmBackbone):
    """A member of a family of backbones; its last feature is the map.

    Parameters
    ----------
    body : Backbone
        Its last feature is at stride 8, or at 4 if it has one level.
    name : str
    levels : int
    """

    def __init__(self, body: Backbone, *, name: str, levels: int) -> None:
        super().__init__(channels=body.channels[levels - 1], architecture={"name": name, "levels": levels})
        self.stride = 4 if levels == 1 else STRIDE
        self.body = body

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255, standardised by the mean and deviation that the weights expect."""
        return self.body.normalise(images)

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Those of the member, without those of a pyramid over it."""
        return self.body.pretrained_parameters()

    def compute_features(self, images: Tensor) -> Tensor:
        """The last feature."""
        return self.body(images)[-1]


class DecodedBackbone(JtsmBackbone):
    """The tag classifier: features of its decoder, at stride 4 and of all its levels, and its own scores.

    Parameters
    ----------
    classifier : TagClassifier
        With its classes in the order of JTSM, things first.
    name : str
        Name of its backbone.
    levels, channels, class_count : int
        As it was built with.
    """

    stride = 4

    def __init__(self, classifier: TagClassifier, *, name: str, levels: int, channels: int, class_count: int) -> None:
        architecture = {"name": name, "levels": levels, "decoder_channels": channels, "class_count": class_count}
        super().__init__(channels=channels, architecture=architecture)
        self.classifier = classifier

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255 as the classifier normalises them."""
        return self.classifier.backbone.normalise(images)

    def compute_features(self, images: Tensor) -> Tensor:
        """Output of the decoder."""
        return self.classifier.decode_normalised(images)

    def classify(self, features: Tensor) -> Tensor:
        """Logits ``(B, C, H / 4, W / 4)`` of the classifier, things first, of its own features."""
        return self.classifier.classify(features)


def _split(body: nn.Module) -> tuple[nn.Module, list[nn.Module]]:
    """Layers to stride 4, and the four stages after them."""
    if isinstance(body, SmallBackbone):
        return body.stem, list(body.stages)
    assert isinstance(body, ResNetBackbone)
    stem = nn.Sequential(body.conv1, body.bn1, nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1))
    return stem, [body.layer1, body.layer2, body.layer3, body.layer4]


def _dilate(stage: nn.Module, before: int) -> None:
    """Remove the strides of a stage whose input is ``before`` times denser than its weights expect."""
    dilation = before
    for conv in (module for module in stage.modules() if isinstance(module, nn.Conv2d)):
        if conv.kernel_size == (3, 3):
            conv.dilation = conv.padding = (dilation, dilation)
            # After the layer that lost its stride, cells lie twice as densely, so kernels reach twice as far.
            if conv.stride == (2, 2):
                dilation *= 2
        conv.stride = (1, 1)
