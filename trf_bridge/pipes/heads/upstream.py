"""The transformer's side of its connection with the listeners of later components."""

from __future__ import annotations

from typing import Any

from thinc.api import Model

from ...wrappers.traits import Traits
from .listener import Listener
from .pending import PendingBatch


class Upstream:
    """What spaCy expects of a component that others listen to, such as its own Tok2Vec."""

    name: str
    listener_map: dict[str, list[Listener]]

    def traits(self) -> Traits | None:
        """RETURNS (Traits): What the transformer gives; None while it has no weights."""
        raise TypeError(type(self))

    @property
    def listeners(self) -> list[Listener]:
        """RETURNS (list of Listener): The layers that listen to this component."""
        return [listener for found in self.listener_map.values() for listener in found]

    @property
    def listening_components(self) -> list[str]:
        """RETURNS (list of str): The components that listen to this one."""
        return list(self.listener_map)

    def add_listener(self, listener: Listener, component_name: str) -> None:
        """Connect a layer of a component that comes after this one.

        listener (Listener): The layer.
        component_name (str): Name of its component.
        """
        found = self.listener_map.setdefault(component_name, [])
        if all(listener is not other for other in found):
            found.append(listener)
        listener.connect(component_name, self.traits())

    def remove_listener(self, listener: Listener, component_name: str) -> bool:
        """Disconnect a layer.

        listener (Listener): The layer.
        component_name (str): Name of its component.
        RETURNS (bool): Whether it was connected.
        """
        found = self.listener_map.get(component_name, [])
        kept = [other for other in found if other is not listener]
        if kept:
            self.listener_map[component_name] = kept
        else:
            self.listener_map.pop(component_name, None)
        return len(kept) < len(found)

    def find_listeners(self, component: Any) -> None:
        """Connect every layer of a component that listens to this one.

        component (callable): A component that comes after this one.
        """
        model = getattr(component, "model", None)
        for node in model.walk() if isinstance(model, Model) else []:
            if isinstance(node, Listener) and node.upstream in ("*", self.name):
                self.add_listener(node, component.name)

    def sync_listeners(self) -> None:
        """Tell every listener the width, once the weights are there."""
        for name, found in self.listener_map.items():
            for listener in found:
                listener.connect(name, self.traits())

    def hand_out(self, batch: PendingBatch | None) -> None:
        """Give every listener the training batch that it will see next.

        batch (PendingBatch): The batch; None when it is over.
        """
        for listener in self.listeners:
            listener.batch = batch
