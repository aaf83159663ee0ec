"""A trained network with all that is needed to apply it, and the file that holds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from models.checkpoints import load_checkpoint, save_checkpoint
from pseudogt.classes import ClassTable


@dataclass(frozen=True)
class TrainedModel(ABC):
    """Each kind of model adds fields: plain values, which its file holds under their names.

    Files of earlier versions may lack the fields that have defaults.

    Attributes
    ----------
    network : Module
    architecture
        Structure of the network: what :meth:`build_network` needs.
    classes : ClassTable
    settings : dict
        The settings of its training, for the record.
    """

    KIND: ClassVar[str]
    """Entry ``kind`` of the files."""

    PLACE: ClassVar[str]
    """Where a run writes them, below ``results/<name>``."""

    WEIGHTS: ClassVar[str] = "network"
    """Entry of the files that holds the weights."""

    network: nn.Module
    architecture: Any
    classes: ClassTable
    settings: dict[str, Any]

    @classmethod
    @abstractmethod
    def build_network(cls, architecture: Any) -> nn.Module:
        """Build the network of a file, without its weights."""

    @classmethod
    def parse_architecture(cls, saved: dict[str, Any]) -> Any:
        """Turn the plain values of a file into the architecture."""
        return saved

    def save(self, path: Path | str) -> None:
        """Write a self-contained file, which :meth:`load` reads."""
        plain = self.architecture if isinstance(self.architecture, dict) else asdict(self.architecture)
        state = {
            "kind": self.KIND,
            "architecture": plain,
            "categories": self.classes.to_categories(),
            "settings": self.settings,
            **{field.name: getattr(self, field.name) for field in _list_added(type(self))},
            self.WEIGHTS: {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()},
        }
        save_checkpoint(path, state)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file onto the CPU, ready for inference.

        Raises
        ------
        ValueError
            If the file is missing, broken, of another kind or of another version.
        """
        state = load_checkpoint(path, kind=cls.KIND, place=cls.PLACE)
        try:
            architecture = cls.parse_architecture(state["architecture"])
            network = cls.build_network(architecture)
            network.load_state_dict(state[cls.WEIGHTS])
            classes = ClassTable.from_categories(state["categories"])
            needed = [field.name for field in _list_added(cls) if field.name in state or field.default is MISSING]
            added = {name: state[name] for name in needed}
            return cls(network.eval(), architecture, classes, state["settings"], **added)
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"{path}: was written by another version of the workflow ({error!r:.200}); use that version, or train "
                "the model again"
            ) from error


def _list_added(kind: type[TrainedModel]) -> list[Field[Any]]:
    """Fields of a kind of model that not all kinds have."""
    return [field for field in fields(kind) if field.name not in TrainedModel.__dataclass_fields__]
