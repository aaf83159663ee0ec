"""Segment Anything (Kirillov et al., ICCV 2023) as a box segmenter, by Hugging Face transformers.

It needs the extra ``sam``. The model is a local folder; nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from pseudogt.box_masks.scene import BoxScene, BoxSegmenter, PrepareScene, SegmenterOptions
from pseudogt.boxes import box_slices, check_boxes


class Embedding(NamedTuple):
    """Output of the image encoder.

    Attributes
    ----------
    features : (1, C, h, w) float32
    size : (H, W)
        Size of the image.
    resized : (H, W)
        As the encoder saw it, before padding.
    """

    features: Tensor
    size: tuple[int, int]
    resized: tuple[int, int]


def load_sam(options: SegmenterOptions) -> PrepareScene:
    """The box segmenter of a Segment Anything model of the user's: probabilities."""
    model = SamModel.load(options.sam_model or "")

    def prepare(scene: BoxScene) -> BoxSegmenter:
        embedding = model.embed_image(scene.image)
        return lambda index: model.segment_box(embedding, scene.boxes_xyxy[index])

    return prepare


class SamModel:
    """A model with its preprocessing, applied to one image and then to its boxes.

    Parameters
    ----------
    network
        ``transformers.SamModel``.
    processor
        ``transformers.SamProcessor``.
    """

    def __init__(self, network: Any, processor: Any) -> None:
        self.network = network.eval()
        self.processor = processor

    @classmethod
    def load(cls, folder: Path | str) -> SamModel:
        """Read a folder as ``save_pretrained`` writes it.

        Raises
        ------
        ValueError
            If transformers is not installed, or the folder is missing or holds no such model.
        """
        try:
            import transformers
            from safetensors import SafetensorError
        except ImportError:
            raise ValueError(
                "segmenter sam needs transformers; install it in your clone with: pip install -e '.[sam]'"
            ) from None
        if not (Path(folder) / "config.json").is_file():
            raise ValueError(f"{folder}: no config.json; give the folder of a downloaded Segment Anything model")
        try:
            network = transformers.SamModel.from_pretrained(folder, local_files_only=True)
            processor = transformers.SamProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ValueError(f"{folder}: can't be read as a Segment Anything model ({error})") from error
        return cls(network, processor)

    @torch.inference_mode()
    def embed_image(self, image: NDArray[np.uint8]) -> Embedding:
        """Encode an image ``(H, W, 3) uint8 RGB``."""
        inputs = self.processor(image, return_tensors="pt")
        features = self.network.get_image_embeddings(inputs["pixel_values"])
        height, width = inputs["reshaped_input_sizes"][0].tolist()
        return Embedding(features, (image.shape[0], image.shape[1]), (height, width))

    @torch.inference_mode()
    def segment_box(self, embedding: Embedding, box_xyxy: ArrayLike) -> NDArray[np.float32]:
        """Probability ``(h, w) float32`` that a pixel of the box belongs to the thing.

        Raises
        ------
        ValueError
            For a box that is inverted, empty or outside the image.
        """
        box = check_boxes(box_xyxy, embedding.size)[0]
        # The box in pixels of the image that the encoder saw.
        scale = np.array([embedding.resized[1] / embedding.size[1], embedding.resized[0] / embedding.size[0]] * 2)
        prompt = torch.from_numpy(box * scale).float()[None, None]
        output = self.network(image_embeddings=embedding.features, input_boxes=prompt, multimask_output=False)
        # Undo the preprocessing: enlarge to the padded square, cut off the padding, resize to the image.
        padded = self.network.config.vision_config.image_size
        logits = F.interpolate(output.pred_masks[0], (padded, padded), mode="bilinear", align_corners=False)
        height, width = embedding.resized
        logits = F.interpolate(logits[..., :height, :width], embedding.size, mode="bilinear", align_corners=False)
        return torch.sigmoid(logits[0, 0]).numpy()[box_slices(box)]
