import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from models.jtsm.moi_pool import moi_pool, pool_by_crops, scale_pooled
from pseudogt.proposals.members import Members

REPOSITORY = Path(__file__).resolve().parents[3]


def to_tensors(dense):
    """Members of proposals, given as a table, as the network gets them."""
    return tuple(torch.from_numpy(part) for part in Members.from_dense(dense))


BOTH = pytest.mark.parametrize("pool", [moi_pool, pool_by_crops], ids=["fast", "reference"])


def make_case(seed, *, images=2, map_size=(9, 12), pixels=None, channels=20, count=40, superpixels=30):
    """Random segments; boxes stick out, vanish or miss the map, half the values tie at 0, some pixels are padding."""
    rng = np.random.default_rng(seed)
    height, width = pixels or (8 * map_size[0], 8 * map_size[1])
    sites = rng.random((images, superpixels, 2)) * [height, width]
    grid = np.stack(np.mgrid[:height, :width], -1)[:, :, None]
    maps = np.stack([((grid - each) ** 2).sum(-1).argmin(-1) for each in sites]).astype(np.int32)
    maps[:, rng.integers(height, size=5), rng.integers(width, size=5)] = superpixels  # segments of one pixel
    maps[:, :, -width // 10 :] = -1
    dense = rng.random((count, superpixels + 3)) < rng.choice([0.05, 0.3, 0.9], (count, 1))
    dense[0], dense[1] = False, np.arange(superpixels + 3) == superpixels
    corner, size = rng.uniform(-30, (width, height), (count, 2)), rng.uniform(0, (width, height), (count, 2))
    boxes = np.concatenate([corner, corner + size], 1)
    boxes[::2] = boxes[::2].round()
    boxes[2:6] = [[0, 0, width, height], [4, 4, 4, 4], [-90, -90, -60, -50], [width + 9, 0, width + 50, height]]
    boxes[6:9] = [[-4, -12, 13, 21], [12, 20, 13, 21], [-40, -40, 2 * width, 2 * height]]
    features = torch.from_numpy(rng.standard_normal((images, channels, *map_size)).clip(0).astype(np.float32))
    return {
        "features": features,
        "boxes_xyxy": torch.from_numpy(boxes),
        "batch_index": torch.from_numpy(rng.integers(images, size=count)),
        "members": to_tensors(dense),
        "superpixels": torch.from_numpy(maps),
        "spatial_scale": 1 / 8,
    }


def pool_by_loop(features, boxes_xyxy, batch_index, members, superpixels, spatial_scale, output_size=7):
    """Step by step as the method is written down: values and positions of every bin."""
    features, superpixels = features.double().numpy(), superpixels.numpy()
    count, (channels, height, width) = len(boxes_xyxy), features.shape[1:]
    pixel_height, pixel_width = superpixels.shape[1:]
    values, (indices, starts) = np.zeros((count, channels, output_size, output_size)), members
    argmax = np.full(values.shape, -1)
    for r, box in enumerate(boxes_xyxy.tolist()):
        b = int(batch_index[r])
        own = indices[starts[r] : starts[r + 1]].numpy()
        last = [box[0], box[1], box[2] - 1, box[3] - 1]
        x0, y0, x1, y1 = (math.floor(value * spatial_scale + 0.5) for value in last)
        box_width, box_height = max(x1 - x0 + 1, 1), max(y1 - y0 + 1, 1)
        for p in range(output_size):
            for q in range(output_size):
                best = np.full(channels, -np.inf)
                for i in range(y0 + p * box_height // output_size, y0 + math.ceil((p + 1) * box_height / output_size)):
                    for j in range(
                        x0 + q * box_width // output_size, x0 + math.ceil((q + 1) * box_width / output_size)
                    ):
                        if not (0 <= i < height and 0 <= j < width and y0 <= i <= y1 and x0 <= j <= x1):
                            continue
                        rows = slice(i * pixel_height // height, math.ceil((i + 1) * pixel_height / height))
                        columns = slice(
                            j * pixel_height // height, min(math.ceil((j + 1) * pixel_height / height), pixel_width)
                        )
                        if not np.isin(superpixels[b, rows, columns], own).any():
                            continue
                        greater = features[b, :, i, j] > best
                        best[greater] = features[b, greater, i, j]
                        argmax[r, greater, p, q] = i * width + j
                values[r, :, p, q] = np.where(np.isfinite(best), best, 0)
    return values, argmax


@BOTH
@pytest.mark.parametrize(
    ("seed", "options"),
    [
        (0, {}),
        (1, {"images": 1, "channels": 1}),
        (2, {"map_size": (8, 11), "pixels": (61, 85)}),  # the size is no multiple of the stride
        (3, {"map_size": (3, 3), "channels": 33}),
    ],
)
def test_equals_a_loop_over_cells(pool, seed, options):
    case = make_case(seed, **options)
    values, argmax = pool_by_loop(**case)
    result = pool(**case)
    assert 0.1 < (argmax == -1).mean() < 0.9
    np.testing.assert_array_equal(result.features.numpy(), values)
    np.testing.assert_array_equal(result.argmax.numpy(), argmax)
    np.testing.assert_array_equal(result.filled.numpy(), (argmax[:, 0] >= 0).sum((1, 2)))


def assert_same(result, expected):
    for name in ("features", "argmax", "filled"):
        one, other = getattr(result, name), getattr(expected, name)
        assert one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu()), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("output_size", [1, 4, 7])
def test_fast_equals_reference_bit_for_bit(dtype, output_size):
    case = make_case(10, channels=70)
    case["features"] = (case["features"] - 0.3).to(dtype)
    assert_same(moi_pool(**case, output_size=output_size), pool_by_crops(**case, output_size=output_size))


def test_any_order_and_width_of_inputs_gives_the_same():
    case = make_case(11)
    expected = moi_pool(**case)
    case["features"] = case["features"].to(memory_format=torch.channels_last)
    case["superpixels"] = case["superpixels"].to(torch.int16)
    indices, starts = case["members"]
    case["members"] = (indices.long(), starts.long())
    case["batch_index"] = case["batch_index"].int()
    assert_same(moi_pool(**case), expected)


def test_the_number_of_threads_does_not_matter():
    case, threads = make_case(12), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(moi_pool(**case))
    finally:
        torch.set_num_threads(threads)
    assert_same(*results)


@BOTH
def test_ties_go_to_the_first_cell_in_row_order(pool):
    case = make_case(13)
    case |= {"features": torch.zeros_like(case["features"]), "superpixels": torch.zeros_like(case["superpixels"])}
    case["members"] = to_tensors(np.ones((40, 1), bool))
    case["boxes_xyxy"] = torch.tensor([[0.0, 0, 89, 65]]).expand(40, 4)  # corners are the first and the last cell
    argmax = pool(**case).argmax[0, 0]
    rows, columns = torch.arange(7) * 9 // 7, torch.arange(7) * 12 // 7
    assert torch.equal(argmax, (rows[:, None] * 12 + columns).int())


@BOTH
def test_halves_are_rounded_up_on_both_sides_of_zero(pool):
    case = make_case(14, images=1, map_size=(4, 4), count=10)
    case["superpixels"] = torch.zeros_like(case["superpixels"])
    case["members"] = to_tensors(np.ones((10, 1), bool))
    case["features"] = torch.arange(16.0).view(1, 1, 4, 4)
    # last pixel 12 is cell 1.5: up to 2; pixel 11 is below; pixel -4 is cell -0.5: up to 0
    case["boxes_xyxy"] = torch.tensor(
        [[0.0, 0, 13, 1], [0, 0, 12, 1], [-4, 0, 1, 1], [-9, 0, -3, 1]] + [[0, 0, 1, 1]] * 6
    )
    assert pool(**case, output_size=1).features[:4].flatten().tolist() == [2, 1, 0, 0]


def test_gradients_agree():
    case = make_case(15, channels=16)
    gradients = []
    for pool in (moi_pool, pool_by_crops):
        features = case["features"].clone().requires_grad_()
        pooled = pool(**case | {"features": features}).features
        weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad((pooled * weights).sum(), features)
        gradients.append(gradient)
    assert gradients[0].abs().sum() > 100
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def test_gradient_is_the_derivative():
    case = make_case(16, images=1, map_size=(3, 4), channels=2, count=9, superpixels=6)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((1, 2, 3, 4), generator=generator, dtype=torch.float64).requires_grad_()

    def pool(values):
        return moi_pool(**case | {"features": values}, output_size=2).features

    assert gradcheck(pool, features)


@BOTH
def test_no_proposals(pool):
    case = make_case(17)
    case |= {"boxes_xyxy": torch.zeros(0, 4), "batch_index": torch.zeros(0, dtype=torch.long)}
    case["members"] = to_tensors(np.zeros((0, 5), bool))
    result = pool(**case)
    assert result.features.shape == result.argmax.shape == (0, 20, 7, 7) and result.filled.shape == (0,)


def test_scaling_by_fill_and_score():
    features = torch.ones(2, 3, 7, 7)
    scaled = scale_pooled(features, torch.tensor([48, 0]), torch.tensor([0.5, 1.0]))
    assert scaled.dtype == torch.float32
    assert scaled[:, 0, 0, 0].tolist() == [1.5, 98.0]


@BOTH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": torch.zeros(3, 4, 5)}, "features must be"),
        ({"boxes_xyxy": torch.zeros(40, 5)}, "boxes, batch_index and starts"),
        ({"batch_index": torch.full((40,), 2)}, r"batch_index must be in 0\.\.1"),
        ({"superpixels": torch.zeros(2, 4, 4, dtype=torch.int32)}, "coarser"),
        ({"superpixels": torch.zeros(1, 72, 96, dtype=torch.int32)}, "superpixels must be"),
        ({"members": (torch.zeros(3, dtype=torch.int32), torch.zeros(41, dtype=torch.long))}, "starts must rise"),
        ({"members": (torch.full((3,), -1), torch.tensor([0] + [3] * 40))}, "must not be negative"),
    ],
)
def test_bad_inputs_are_named(pool, change, message):
    with pytest.raises(ValueError, match=message):
        pool(**make_case(18) | change)


def run_alone(script, **variables):
    """Run a script in a process of its own, with more environment variables."""
    paths = os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": paths} | variables
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=120)


FIRST_CALL = """
import torch
from test_moi_pool import make_case
from models.jtsm.moi_pool import moi_pool
torch.set_num_threads(1)
moi_pool(**make_case(0))
assert torch.get_num_threads() == 1, torch.get_num_threads()
"""


def test_torch_keeps_its_number_of_threads():
    run_alone(FIRST_CALL, NUMBA_NUM_THREADS="3")


TRITON_ON_CPU = """
import torch
from test_moi_pool import assert_same, make_case
from models.jtsm import moi_pool as moi, moi_pool_numba, moi_pool_triton
moi_pool_numba.pool_on_cpu = moi_pool_triton.pool_on_gpu
for seed, options in ((0, {"count": 10}), (2, {"map_size": (8, 11), "pixels": (61, 85), "count": 10})):
    case = make_case(seed, channels=5, **options)
    assert_same(moi.moi_pool(**case, output_size=3), moi.pool_by_crops(**case, output_size=3))
"""


def test_triton_kernel_in_its_interpreter():
    pytest.importorskip("triton")
    run_alone(TRITON_ON_CPU, TRITON_INTERPRET="1")


@pytest.mark.gpu
def test_gpu_equals_reference():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    case = make_case(19, channels=300)
    expected = pool_by_crops(**case)
    features = case["features"].cuda().requires_grad_()
    result = moi_pool(**case | {"features": features})
    assert_same(result, expected)
    other = case["features"].clone().requires_grad_()
    weights = torch.randn(expected.features.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((result.features * weights.cuda()).sum(), features)
    (other_gradient,) = torch.autograd.grad(
        (pool_by_crops(**case | {"features": other}).features * weights).sum(), other
    )
    torch.testing.assert_close(gradient.cpu(), other_gradient, rtol=1e-5, atol=1e-5)
