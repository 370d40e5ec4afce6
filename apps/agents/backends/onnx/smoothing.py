"""Moves outliers from activations into the weights that follow, without changing the function (SmoothQuant).

A *site* is a tensor X that was scaled channel by channel just before (by LayerNorm, RMSNorm, or a product with a stored
vector) and that feeds matrix products with stored weights. Dividing X's channel j by s_j and multiplying row j of those
weights by s_j computes the same. With s_j = max|X_j|^α / max|W_j|^(1−α), neither side has extreme channels (Xiao et al.
2023, https://arxiv.org/abs/2211.10438, equation 4). The division is merged into the norm's own scale if nothing else
reads X; otherwise it is one product before the matrix products.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from apps.agents.backends.onnx.split_model import names_read
from apps.agents.backends.onnx.technique import drop_unread, initializers

Floats = NDArray[np.float32]

NORMS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization", "SkipLayerNormalization"})
SMALLEST_SCALE = 1e-5
"""A channel that is all zeros is left unchanged, which avoids a division by zero."""


@dataclass(frozen=True)
class Product:
    """A matrix product that reads a site. `transposed`: its weight is stored as `[out, in]`."""

    node: str
    weight: str
    transposed: bool


@dataclass(frozen=True)
class Site:
    """`tensor` is X. `vectors` are the stored scale and bias that produce it; empty if other nodes read X as well."""

    tensor: str
    channels: int
    products: tuple[Product, ...]
    vectors: tuple[str, ...] = ()
    makers: tuple[str, ...] = field(default=(), repr=False)
    """Names of the nodes that read the vectors."""


class Smoothing:
    """The sites of one graph, and the graph with the outliers moved. `folder` contains the external weights."""

    def __init__(self, proto: ModelProto, folder: Path) -> None:
        self.proto, self._folder = proto, folder
        self._stored = initializers(proto)
        self._producers = {name: node for node in proto.graph.node for name in node.output if name}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in proto.graph.node:
            for name in dict.fromkeys(names_read(node)):
                self._readers.setdefault(name, []).append(node)
        self._outputs = {output.name for output in proto.graph.output}
        self.sites = tuple(self._sites())

    def array(self, name: str) -> Floats:
        return np.asarray(numpy_helper.to_array(self._stored[name], str(self._folder)), np.float32)

    def weight(self, product: Product) -> Floats:
        """`[in, out]`."""
        stored = self.array(product.weight)
        return stored.T if product.transposed else stored

    # --- finding ------------------------------------------------------------------------------------------------------

    def _sites(self) -> Iterator[Site]:
        for node in self.proto.graph.node:
            for tensor in node.output[:1]:
                products = self._products(tensor)
                found = self._vectors(tensor)
                if products and found is not None:
                    vectors, makers, channels = found
                    alone = len(products) == len(self._readers[tensor]) and tensor not in self._outputs
                    yield Site(tensor, channels, products, vectors if alone else (), makers if alone else ())

    def _products(self, tensor: str) -> tuple[Product, ...]:
        """The matrix products with a stored two-dimensional weight whose left input is `tensor`."""
        found = []
        for node in self._readers.get(tensor, ()):
            if node.op_type not in ("MatMul", "Gemm") or node.input[0] != tensor or list(node.input).count(tensor) > 1:
                continue
            attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
            if attributes.get("transA") or not self._is_matrix(node.input[1]):
                continue
            found.append(Product(node.name, node.input[1], bool(attributes.get("transB"))))
        return tuple(found)

    def _is_matrix(self, name: str) -> bool:
        tensor = self._stored.get(name)
        return tensor is not None and tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2

    def _vectors(self, tensor: str) -> tuple[tuple[str, ...], tuple[str, ...], int] | None:
        """Names of the stored vectors that scale `tensor`, of the nodes that read them, and the number of channels.

        `None` if the last operation on it is not a scaling.
        """
        node = self._producers[tensor]
        if node.op_type in NORMS:
            first = 2 if node.op_type == "SkipLayerNormalization" else 1
            vectors = tuple(name for name in node.input[first : first + 2] if name)
            return self._checked(vectors, (node.name,))
        if node.op_type == "Add" and (bias := self._vector_of(node)):
            rest = next(name for name in node.input if name != bias)
            before = self._producers.get(rest)
            if before is None or before.op_type != "Mul" or len(self._readers[rest]) > 1 or rest in self._outputs:
                return None
            scale = self._vector_of(before)
            return self._checked((scale, bias), (before.name, node.name)) if scale else None
        if node.op_type == "Mul" and (scale := self._vector_of(node)):
            return self._checked((scale,), (node.name,))
        return None

    def _vector_of(self, node: NodeProto) -> str | None:
        """The stored vector among the two inputs of an elementwise node."""
        found = [name for name in node.input if name in self._stored and len(self._stored[name].dims) == 1]
        return found[0] if len(found) == 1 and self._stored[found[0]].dims[0] > 1 else None

    def _checked(
        self, vectors: tuple[str, ...], makers: tuple[str, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...], int] | None:
        stored = [self._stored.get(name) for name in vectors]
        sizes = {tensor.dims[0] for tensor in stored if tensor is not None and len(tensor.dims) == 1}
        whole = all(tensor is not None and tensor.data_type == TensorProto.FLOAT for tensor in stored)
        return (vectors, makers, int(sizes.pop())) if whole and len(sizes) == 1 else None

    # --- changing -----------------------------------------------------------------------------------------------------

    def scales(self, site: Site, largest: Floats, alpha: float) -> Floats:
        """s of one site, `[channels]`, from the largest absolute value of each channel of X."""
        weights = np.max([np.abs(self.weight(product)).max(1) for product in site.products], axis=0)
        safe = np.maximum(largest, SMALLEST_SCALE), np.maximum(weights, SMALLEST_SCALE)
        scale = safe[0] ** alpha / safe[1] ** (1 - alpha)
        return np.asarray(np.where(largest > SMALLEST_SCALE, np.maximum(scale, SMALLEST_SCALE), 1.0), np.float32)

    def smoothed(self, scales: Mapping[str, Floats]) -> ModelProto:
        """A copy of the graph in which the sites in `scales` (by tensor) are smoothed."""
        proto = ModelProto()
        proto.CopyFrom(self.proto)
        nodes = {node.name: node for node in proto.graph.node}
        for site in self.sites:
            if (scale := scales.get(site.tensor)) is not None:
                self._divide(proto, nodes, site, scale)
                for product in site.products:
                    self._multiply(proto, nodes[product.node], product, scale)
        drop_unread(proto)
        return proto

    def _divide(self, proto: ModelProto, nodes: Mapping[str, NodeProto], site: Site, scale: Floats) -> None:
        if site.vectors:
            for vector in site.vectors:
                name = _stored(proto, f"{vector}/of {site.tensor}", self.array(vector) / scale)
                _replace(vector, name, (nodes[maker] for maker in site.makers))
            return
        divided = f"{site.tensor}/smoothed"
        inverse = _stored(proto, f"{divided}/scale", np.reciprocal(scale))
        _replace(site.tensor, divided, (nodes[product.node] for product in site.products))
        place = 1 + next(i for i, node in enumerate(proto.graph.node) if site.tensor in node.output)
        proto.graph.node.insert(place, helper.make_node("Mul", [site.tensor, inverse], [divided], name=divided))

    def _multiply(self, proto: ModelProto, node: NodeProto, product: Product, scale: Floats) -> None:
        stored = self.array(product.weight) * (scale if product.transposed else scale[:, np.newaxis])
        node.input[1] = _stored(proto, f"{product.weight}/of {product.node}", stored)


def _stored(proto: ModelProto, name: str, array: Floats) -> str:
    proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
    return name


def _replace(old: str, new: str, nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new
