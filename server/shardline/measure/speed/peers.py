"""Other programs that run the same model, for comparison."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from shardline.measure.speed.subject import perplexity


class Transformers:
    """`generate` on a model that accelerate dispatched: the way of the article that Shardline began with."""

    def __init__(self, folder: Path, dtype: str) -> None:
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), device_map="auto", use_safetensors=True
        ).eval()
        self.bytes_per_token = sum(weight.nbytes for weight in self._model.parameters())

    def forget(self) -> None:
        """Do nothing: it never remembers."""

    def read(self, ids: Sequence[int]) -> float:
        """Generate one token."""
        return self._generate(ids, 1)

    def write(self, ids: Sequence[int], count: int) -> float:
        """Generate many, less the time for one."""
        return self._generate(ids, count + 1) - self._generate(ids, 1)

    @torch.inference_mode()
    def perplexity(self, ids: Sequence[int]) -> float:
        """Return the perplexity of the text."""
        return perplexity(self._model(torch.tensor([list(ids)], device=self._model.device)).logits[0], ids)

    def _generate(self, ids: Sequence[int], count: int) -> float:
        prompt = torch.tensor([list(ids)], device=self._model.device)
        began = time.perf_counter()
        self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
        )
        return time.perf_counter() - began


class LlamaCpp:
    """llama.cpp by its Python binding, on the GGUF file itself."""

    def __init__(self, file: Path) -> None:
        from llama_cpp import Llama

        self.bytes_per_token = file.stat().st_size
        threads = torch.get_num_threads()
        self._model: Any = Llama(
            str(file),
            n_ctx=2048,
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=-1,
            verbose=False,
        )

    def forget(self) -> None:
        """Empty its KV cache."""
        self._model.reset()
        self._model._ctx.kv_cache_clear()  # noqa: SLF001  its own name for it

    def read(self, ids: Sequence[int]) -> float:
        """Read the prompt, of which its binding finds what is known, and choose a token."""
        began = time.perf_counter()
        next(self._tokens(ids))
        return time.perf_counter() - began

    def write(self, ids: Sequence[int], count: int) -> float:
        """Write token after token."""
        tokens = self._tokens(ids)
        next(tokens)
        began = time.perf_counter()
        for _ in range(count):
            next(tokens)
        return time.perf_counter() - began

    def perplexity(self, ids: Sequence[int]) -> None:
        """Return None: it reports no probabilities."""

    def _tokens(self, ids: Sequence[int]) -> Any:
        return self._model.generate(list(ids), top_k=1, temp=0.0, repeat_penalty=1.0)


class Vllm:
    """vLLM, offline."""

    def __init__(self, folder: Path) -> None:
        from vllm import LLM

        self._model: Any = LLM(str(folder), max_model_len=2048, enable_prefix_caching=True)
        self.bytes_per_token = 0

    def forget(self) -> None:
        """Empty its prefix cache."""
        self._model.reset_prefix_cache()

    def read(self, ids: Sequence[int]) -> float:
        """Generate one token."""
        return self._generate(ids, 1)

    def write(self, ids: Sequence[int], count: int) -> float:
        """Generate many, less the time for one."""
        many = self._generate(ids, count + 1)
        self.forget()
        return many - self._generate(ids, 1)

    def perplexity(self, ids: Sequence[int]) -> None:
        """Return None: it reports no probabilities."""

    def _generate(self, ids: Sequence[int], count: int) -> float:
        from vllm import SamplingParams

        sampling = SamplingParams(max_tokens=count, min_tokens=count, temperature=0, ignore_eos=True)
        began = time.perf_counter()
        self._model.generate({"prompt_token_ids": list(ids)}, sampling, use_tqdm=False)
        return time.perf_counter() - began
