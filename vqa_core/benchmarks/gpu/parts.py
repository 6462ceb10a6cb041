"""Steps of `eval.benchmark gpu` that measure one part at a time: matrices, tower, prefill, attention, decode."""

from dataclasses import replace
from functools import partial

import torch

from vqa_core.benchmarks.devices import matmul_rate, peak_memory, reset_peak_memory
from vqa_core.benchmarks.gpu.bed import GpuBed, StepFindings
from vqa_core.benchmarks.report import share
from vqa_core.benchmarks.workloads import workload_of
from vqa_core.inference.decoding import generate_packed
from vqa_core.inference.generation import Work
from vqa_core.model.packing import shared_prefix_mask

DECODE_STEPS = 8  # timed together


def matmul(bed: GpuBed, limit_s: float) -> StepFindings:
    """Measure the rate that all other steps are compared with."""
    side = bed.scale.matmul
    bed.matmul_flops = matmul_rate(bed.device, bed.vlm.dtype, side, limit_s)
    line = f"matmul: {bed.matmul_flops / 1e12:.3g} TFLOP/s ({side} x {side})"
    return StepFindings({"flops": bed.matmul_flops, "side": side}, lines=[line])


@torch.inference_mode()
def encode(bed: GpuBed, limit_s: float) -> StepFindings:
    """Time vision tower and projector on a batch of pictures."""
    images, side = min(32, bed.images), bed.vlm.transform.side
    pixels = torch.randn(images, 3, side, side)
    seconds = bed.seconds(lambda: bed.vlm.encode_images(pixels), limit_s)
    rate = images / seconds
    part = rate * bed.shape.encode_flops / bed.matmul_flops
    return StepFindings(
        {"images": images, "seconds": seconds, "images_per_second": rate, "share_of_matmul": part},
        lines=[f"encode: {rate:,.0f} images/s, {share(part)} of the matmul rate"],
    )


def prefill(bed: GpuBed, limit_s: float) -> StepFindings:
    """Time packed rows through the language model, including cache and first tokens, at several batch sizes."""
    found = StepFindings({"batches": []}, [["prefill", "tokens", "padding", "ms", "tokens/s", "of matmul rate", "GB"]])
    rows = bed.rows(bed.images)
    longest = max(map(len, rows))
    for tokens in bed.scale.prefill_tokens:
        batch = rows[: max(1, tokens // longest)]
        image_tokens = bed.noise(len(batch), bed.vlm.image_tokens)
        reset_peak_memory(bed.device)
        work = partial(generate_packed, bed.vlm, batch, image_tokens, 1)
        seconds = bed.seconds(work, limit_s / len(bed.scale.prefill_tokens))
        memory = peak_memory(bed.device)
        once = len(bed.vlm.prompt.prefix_ids)
        expected = replace(workload_of(bed.vlm, bed.first(len(batch)).examples), fed=0, once=once)
        flops = bed.shape.answer_flops(expected) - len(batch) * bed.shape.encode_flops
        part = flops / seconds / bed.matmul_flops
        counted = Work()
        generate_packed(bed.vlm, batch, image_tokens, 1, work=counted)
        real, padding = counted.lm_tokens, counted.padding_tokens
        figures = {"images": len(batch), "tokens": real, "padding": padding, "seconds": seconds}
        found.numbers["batches"].append(figures | {"share_of_matmul": part, "peak_bytes": memory})
        cells = [f"{real:,}", f"{padding:,}", f"{1000 * seconds:.1f}", f"{real / seconds:,.0f}", share(part)]
        found.table.append([f"{len(batch)} images", *cells, f"{memory / 1e9:.1f}"])
    return found


@torch.inference_mode()
def attention(bed: GpuBed, limit_s: float) -> StepFindings:
    """Time the same rows through the layers with the mask of packed rows, and as plain causal rows without a mask."""
    rows = bed.rows(max(1, bed.scale.prefill_tokens[1] // 400))
    length = min(map(len, rows))
    segments = torch.tensor([row.segment_ids[:length] for row in rows], device=bed.device)  # (B, T)
    positions = torch.tensor([row.position_ids[:length] for row in rows], device=bed.device)
    embeds = bed.noise(len(rows), length)
    mask = shared_prefix_mask(segments, segments, bed.vlm.attention, embeds.dtype)
    layers = partial(bed.vlm.language_model, inputs_embeds=embeds, use_cache=False)
    masked = bed.seconds(lambda: layers(attention_mask=mask, position_ids=positions), limit_s / 2)
    plain = bed.seconds(layers, limit_s / 2)
    line = (
        f"attention: packed rows take {masked / plain - 1:+.1%} against plain causal ones of the same size "
        f"({len(rows)} x {length} tokens, {1000 * masked:.1f} and {1000 * plain:.1f} ms)"
    )
    return StepFindings({"rows": len(rows), "tokens": length, "masked_s": masked, "plain_s": plain}, lines=[line])


def decode(bed: GpuBed, limit_s: float) -> StepFindings:
    """Time a step of one token per question, with one cache per image: the time of nine tokens less that of one."""
    found = StepFindings({"batches": []}, [["decode", "questions", "ms per step", "tokens/s", "GB"]])
    for images in bed.scale.decode_images:
        each = limit_s / len(bed.scale.decode_images) / 2
        rows, image_tokens = bed.rows(images), bed.noise(images, bed.vlm.image_tokens)
        reset_peak_memory(bed.device)
        one, many = (
            bed.seconds(partial(generate_packed, bed.vlm, rows, image_tokens, tokens), each)
            for tokens in (1, 1 + DECODE_STEPS)
        )
        seconds, memory = (many - one) / DECODE_STEPS, peak_memory(bed.device)
        questions = sum(len(row.ends) for row in rows)
        figures = {"images": images, "questions": questions, "seconds_a_step": seconds, "peak_bytes": memory}
        found.numbers["batches"].append(figures)
        cells = [f"{questions:,}", f"{1000 * seconds:.1f}", f"{questions / seconds:,.0f}", f"{memory / 1e9:.1f}"]
        found.table.append([f"{images} images", *cells])
    return found
