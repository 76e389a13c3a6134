"""The transformer's side of its connection with the listeners of later components."""

from __future__ import annotations

from typing import Any

from spacy.pipeline import TrainablePipe
from thinc.api import Model

from ...wrappers.models.layer import get_shim
from .listener import Listener
from .pending import PendingSlot


class Upstream:
    """What spaCy expects of a component that others listen to, such as its own Tok2Vec.

    name (str): Name of the component.
    listener_map (dict): The listeners of each component.
    """

    name: str
    listener_map: dict[str, list[Listener]]
    _slot: PendingSlot

    @property
    def _layer(self) -> Model[Any, Any]:
        """Return the layer without settling the pending batch."""
        layer: Model[Any, Any] = TrainablePipe.model.__get__(self)
        return layer

    @property
    def listeners(self) -> list[Listener]:
        """Return the layers that listen to this component."""
        return [listener for listeners in self.listener_map.values() for listener in listeners]

    @property
    def listening_components(self) -> list[str]:
        """Return the names of the components that listen to this one."""
        return list(self.listener_map)

    def add_listener(self, listener: Listener, component_name: str) -> None:
        """Connect a layer of a component after this one.

        listener (Listener): The layer.
        component_name (str): Name of its component.
        """
        listeners = self.listener_map.setdefault(component_name, [])
        if all(listener is not other for other in listeners):
            listeners.append(listener)
        listener.connect(component_name, get_shim(self._layer).traits, self._slot)

    def remove_listener(self, listener: Listener, component_name: str) -> bool:
        """Disconnect a layer.

        listener (Listener): The layer.
        component_name (str): Name of its component.
        RETURNS (bool): Whether it was connected.
        """
        listeners = self.listener_map.get(component_name, [])
        kept = [other for other in listeners if other is not listener]
        if kept:
            self.listener_map[component_name] = kept
        else:
            self.listener_map.pop(component_name, None)
        if len(kept) < len(listeners):
            listener.disconnect()
            return True
        return False

    def find_listeners(self, component: Any) -> None:
        """Connect every layer of a component that listens to this one.

        component (callable): A component after this one.
        """
        model = getattr(component, "model", None)
        for node in model.walk() if isinstance(model, Model) else []:
            if isinstance(node, Listener) and node.upstream in ("*", self.name):
                self.add_listener(node, component.name)

    def sync_listeners(self) -> None:
        """Set the width of every listener, once the weights are loaded."""
        for name, listeners in self.listener_map.items():
            for listener in listeners:
                listener.connect(name, get_shim(self._layer).traits, self._slot)
