"""The part of `run.py` for PyTorch: opens the model next to this file. Uses a GPU if there is one."""

import copy
import importlib
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils._pytree as pytree

HERE = Path(__file__).parent
FOLDER = HERE / "model"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Feeds = dict[str, torch.Tensor]
Run = Callable[[Feeds], Any]
PREFIXES = (
    *("module.", "_orig_mod.", "model.", "net.", "network.", "_forward_module.", "_fsdp_wrapped_module."),
    *("online_model.", "model_ema.", "ema_model.", "ema.", "averaged_model."),
)
AVERAGED = ("model_ema.", "ema_model.", "ema.", "averaged_model.")
INFIXES = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
AWQ_SHIFTS = torch.tensor([0, 16, 4, 20, 8, 24, 12, 28])


def load(
    here: Path, interface: dict[str, Any], threads: int
) -> tuple[list[str], Callable[[dict[str, Any]], dict[str, Any]]]:
    """The names of the declared inputs, and a function from arrays by name to outputs by name."""
    torch.set_num_threads(threads)
    model, call = opened()
    names = [item["name"] for item in interface["inputs"]]

    def run(feeds: dict[str, Any]) -> dict[str, Any]:
        with torch.inference_mode():
            result = call(tensors({name: feeds[name] for name in names}, interface, model))
        if isinstance(result, torch.Tensor):
            result = {"output": result}
        elif isinstance(result, list | tuple):
            result = {f"output_{index}": value for index, value in enumerate(result)}
        elif not hasattr(result, "items"):
            result = vars(result)
        return {name: plain(value) for name, value in result.items()}

    return names, run


def opened() -> tuple[Any, Run]:
    """The model, and a function that runs it on tensors by name, in the order of inputs.json."""
    if (FOLDER / "lathe.toml").exists():
        model, by_name = described(tomllib.loads((FOLDER / "lathe.toml").read_text(encoding="utf-8")))
        model.eval()
    elif (FOLDER / "config.json").exists():
        model, by_name = from_folder().eval(), True
    elif programs := list(HERE.glob("*.pt2")):
        return exported(programs[0])
    else:
        model, by_name = torch.jit.load(str(next(HERE.glob("*.pt"))), map_location=DEVICE).eval(), False
    return model, lambda feeds: model(**feeds) if by_name else model(*feeds.values())


def exported(path: Path) -> tuple[Any, Run]:
    """A program, which itself defines its positional and named inputs."""
    with path.open("rb") as file:
        program = torch.export.load(file)
    model = program.module().to(DEVICE)

    def run(feeds: Feeds) -> Any:
        placed, named = pytree.tree_unflatten(list(feeds.values()), program.call_spec.in_spec)
        return model(*placed, **named)

    return model, run


def from_folder() -> Any:
    """A transformers folder, quantized or not, without contacting a hub."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(FOLDER, local_files_only=True)
    quantization = json.loads((FOLDER / "config.json").read_text(encoding="utf-8")).get("quantization_config") or {}
    kind, method = getattr(transformers, config.architectures[0]), quantization.get("quant_method")
    if method == "awq":
        del config.quantization_config
        return kind.from_pretrained(None, config=config, state_dict=unpacked(quantization["group_size"])).to(DEVICE)
    options = {"device_map": {"": DEVICE}} if quantization else {}
    if method == "compressed-tensors":
        options["quantization_config"] = transformers.CompressedTensorsConfig(dequantize=True)
    model = kind.from_pretrained(FOLDER, local_files_only=True, **options)
    if method == "bitsandbytes" and DEVICE == "cpu":
        unpack_broken_blocks(model)
    return model if quantization else model.to(DEVICE)


def unpack_broken_blocks(model: Any) -> None:
    """On a CPU, bitsandbytes fails for rows that are not a whole number of blocks; such layers become floats."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for name, layer in list(model.named_modules()):
        if not isinstance(layer, Linear4bit):
            continue
        state = copy.copy(layer.weight.quant_state)
        if layer.in_features % state.blocksize or layer.out_features % 32:
            state.shape = torch.Size([layer.in_features * layer.out_features])
            weight = dequantize_4bit(layer.weight.data, state).view(layer.out_features, layer.in_features)
            plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
            plain.weight, plain.bias = torch.nn.Parameter(weight, requires_grad=False), layer.bias
            model.set_submodule(name, plain)


def unpacked(group_size: int) -> dict[str, torch.Tensor]:
    """The weights of a folder packed by autoawq, as floats: four bits per weight, a scale and zero point per group."""
    from safetensors.torch import load_file

    stored = {name: tensor for file in FOLDER.glob("*.safetensors") for name, tensor in load_file(file).items()}
    plain = {name: tensor for name, tensor in stored.items() if not name.endswith((".qweight", ".qzeros", ".scales"))}
    for name in (key.removesuffix(".qweight") for key in stored if key.endswith(".qweight")):
        rows, zeros = (
            ((stored[f"{name}.{part}"][..., None] >> AWQ_SHIFTS) & 15).flatten(1) for part in ("qweight", "qzeros")
        )
        spread = [part.repeat_interleave(group_size, 0) for part in (zeros, stored[f"{name}.scales"])]
        plain[f"{name}.weight"] = ((rows - spread[0]) * spread[1]).T.contiguous()
    return plain


def described(description: dict[str, Any]) -> tuple[Any, bool]:
    """Weights with the architecture that lathe.toml names."""
    named, arguments = description.get("architecture", ""), description.get("arguments", {})
    if named.startswith("transformers/"):
        import transformers

        model = getattr(transformers, named.partition("/")[2])(transformers.AutoConfig.from_pretrained(FOLDER))
    elif named:
        model = metadata.entry_points(group="lathe.architectures")[named].load()(**arguments)
    else:
        # As a separate package, so that the file may import others beside it.
        sys.path.insert(0, str(HERE))
        module = importlib.import_module("model." + description["file"].removesuffix(".py").replace("/", "."))
        model = getattr(module, description["factory"])(**arguments)
    file = FOLDER / description["weights"] if "weights" in description else weights_beside()
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        weights = load_file(file)
    else:
        weights = torch.load(file, weights_only=True, map_location="cpu")
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - dict(model.named_parameters()).keys()
    plain = own_weights(weights, {name: tensor.shape for name, tensor in model.state_dict().items()}, tied)
    types = {tensor.dtype for tensor in plain.values() if tensor.is_floating_point()}
    if len(types) == 1:
        model.to(types.pop())
    model.load_state_dict(plain, strict=False)
    return model.to(DEVICE), named.startswith("transformers/")


def own_weights(checkpoint: Any, wanted: dict[str, Any], tied: set[str]) -> Feeds:
    """The tensors of a checkpoint that are the network's, without the prefixes that training added."""
    found = dict(collections(checkpoint, ()))
    rank = {"": 0, "state_dict": 0, "model_state_dict": 0, "model": 0}
    for where in sorted(found, key=lambda where: rank.get(where, 2 if "ema" in where.lower() else 1)):
        averaged = {name for name in found[where] if name.startswith(AVERAGED)}
        waiting = [found[where], {name: found[where][name] for name in found[where] if name not in averaged}]
        for _ in range(4):
            for tensors in waiting:
                fits = tensors.keys() <= wanted.keys() and wanted.keys() - tensors.keys() <= tied
                if fits and all(tensor.shape == wanted[name] for name, tensor in tensors.items()):
                    return tensors
            waiting = [shorter for tensors in waiting if tensors for shorter in unwrapped(tensors)]
    sys.exit("No weights in the file fit the network.")


def collections(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Feeds]]:
    """Every dictionary with named tensors, by the keys that lead to it, except an optimizer's."""
    if not isinstance(value, dict) or len(path) > 4 or any("optim" in key.lower() for key in path):
        return
    tensors = {name: part for name, part in value.items() if isinstance(name, str) and torch.is_tensor(part)}
    if tensors:
        yield ".".join(path), tensors
    for name, part in value.items():
        yield from collections(part, (*path, str(name)))


def unwrapped(tensors: Feeds) -> Iterator[Feeds]:
    """The same without a word that a wrapper added before or inside the names."""
    for prefix in PREFIXES:
        yield {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    for word in INFIXES:
        names = {".".join(part for part in name.split(".") if part != word): name for name in tensors}
        if len(names) == len(tensors) and names.keys() != tensors.keys():
            yield {name: tensors[stored] for name, stored in names.items()}


def weights_beside() -> Path:
    suffixes = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
    return next(file for file in sorted(FOLDER.iterdir()) if file.suffix in suffixes)


def tensors(feeds: dict[str, Any], interface: dict[str, Any], model: Any) -> Feeds:
    """Tensors by name. Floats have the type that an exported program declares, else that of the model's weights."""
    floating = next((weight.dtype for weight in model.parameters() if weight.is_floating_point()), torch.float32)
    declared = bool(list(HERE.glob("*.pt2")))
    types = {
        item["name"]: getattr(torch, item["dtype"], floating) if declared else floating for item in interface["inputs"]
    }
    made = {name: torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE) for name, array in feeds.items()}
    return {name: one.to(types[name]) if one.is_floating_point() else one for name, one in made.items()}


def plain(value: Any) -> Any:
    """Tensors as arrays, also within lists and dictionaries. Internal objects, such as a cache, become None."""
    if isinstance(value, torch.Tensor):
        return value.float().cpu().numpy() if value.is_floating_point() else value.cpu().numpy()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else None


def write_on(prompt: str) -> str:
    """Continue the prompt with the language model, always with the most likely token."""
    from transformers import AutoTokenizer

    model, _ = opened()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    encoded = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(DEVICE)
    tokens = model.generate(**encoded, max_new_tokens=40, do_sample=False, pad_token_id=tokenizer.pad_token_id or 0)
    return str(tokenizer.decode(tokens[0], skip_special_tokens=True))
