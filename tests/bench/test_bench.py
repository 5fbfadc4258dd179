import json
import shutil
import sys

import numpy as np
import pytest
import torch

from napari_rsna_inpaint.bench import published, run, startup
from napari_rsna_inpaint.bench.clock import PeakMemory
from napari_rsna_inpaint.bench.completions import CompletionRow, compared, measure_completions
from napari_rsna_inpaint.bench.counting import gflop, network_clock, network_gflop
from napari_rsna_inpaint.bench.floor import floor_rows
from napari_rsna_inpaint.bench.methods import MASKED_DDIM, REPAINT, methods
from napari_rsna_inpaint.bench.published import PublishedNetwork, measure_published
from napari_rsna_inpaint.bench.scan import ScanRow
from napari_rsna_inpaint.bench.subject import make_subject
from napari_rsna_inpaint.bench.table import WIDTH, print_tables, tables
from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.detection.region import REGION_SAMPLING
from napari_rsna_inpaint.diffusion.model import ModelConfig, load_denoiser, load_network
from napari_rsna_inpaint.diffusion.model_folder import load_config
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS
from napari_rsna_inpaint.io.write import write_json, write_nifti

pytest.importorskip("diffusers")
pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def coarse_model(tiny_model, tmp_path_factory):
    """The small random network on pixels of 4 mm: a slice takes a millisecond."""
    folder = tmp_path_factory.mktemp("coarse") / "coarse"
    shutil.copytree(tiny_model, folder)
    config = load_config(folder, ModelConfig).model_copy(update={"pixel_mm": 4.0})
    write_json(folder / "config.json", config.model_dump(mode="json"))
    return folder


@pytest.fixture(scope="module")
def volume():
    return head_phantom(seed=3, shape=(6, 96, 96), spacing=(5.0, 2.0, 2.0)).volume


@pytest.fixture(scope="module")
def denoiser(coarse_model):
    return load_denoiser(coarse_model, device="cpu")


@pytest.fixture(scope="module")
def subject(volume, denoiser):
    return make_subject(volume, denoiser.config)


@pytest.fixture(scope="module")
def scan(volume, tmp_path_factory):
    return write_nifti(tmp_path_factory.mktemp("scan") / "doe_john.nii.gz", volume.hu, volume)


@pytest.fixture(scope="module")
def report(scan, coarse_model):
    """Content and text of the file that a quick run writes."""
    output = scan.parent / "bench.json"
    with pytest.MonkeyPatch.context() as patch:
        small = PublishedNetwork("small", (32, 32, 32, 64), "conv")
        patch.setattr(run, "NETWORKS", (small,))
        patch.setattr(startup, "REPEATS", 1)
        arguments = ["bench", str(scan), "--model", str(coarse_model)]
        assert main([*arguments, "--quick", "-o", str(output)]) == 0
    return json.loads(output.read_text()), output.read_text()


def rows_by(rows, key):
    return {row[key]: row for row in rows}


def test_rows_count_the_evaluations_that_were_made(report):
    rows = rows_by(report[0]["completions"], "method")
    evaluations = {name: row["evaluations"] for name, row in rows.items()}
    full, region = PROTOCOLS["full"].sampling.steps, REGION_SAMPLING.steps
    assert evaluations == {
        "ours: one step (sweep)": 1,
        f"ours: DPM++ {full} (full)": full,
        f"ours: DPM++ {region} (region)": region,
        "ours: DDIM 50": 50,
        REPAINT: 2410,
        "diffusers: RePaint 50/10/2": 90,
        MASKED_DDIM: 50,
        "scikit-image: biharmonic": 0,
        "OpenCV: Telea, 8 bits": 0,
    }


def test_what_was_measured_in_part_is_marked_and_has_no_quality(report):
    for row in report[0]["completions"]:
        in_part = "RePaint" in row["method"]
        assert (row["measured_evaluations"] is not None) == in_part
        assert (row["mae_hu"] is None) == in_part
        assert (row["lesion_auroc"] is None) == in_part
        assert row["ms"] > 0


def test_the_file_holds_machine_model_input_and_statement(report, volume):
    found, _ = report
    assert found["schema"] == 1
    assert "not a medical device" in found["statement"]
    assert torch.__version__.startswith(found["machine"]["packages"]["torch"].partition("+")[0])
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert len(found["model"]["sha256"]) == 64
    assert found["input"]["shape"] == list(volume.hu.shape)
    assert len(found["input"]["pixel_sha256"]) == 64
    assert {"completions", "published", "one_slice", "scan", "network", "region"} < set(found)
    assert {row["command"] for row in found["start"]} == {"--help", "info FILE"}


def test_the_file_names_no_path_and_no_file(report, coarse_model):
    assert "doe_john" not in report[1]
    assert str(coarse_model.parent) not in report[1]


def test_protocols_of_a_slice_take_their_evaluations(report, subject):
    rows = rows_by(report[0]["one_slice"], "protocol")
    brain = subject.plain.context.brain
    assert set(rows) == set(PROTOCOLS)
    assert rows["interactive"]["evaluations"] == len(subject.plain.holes)
    assert rows["full"]["evaluations"] % PROTOCOLS["full"].sampling.steps == 0
    assert rows["reference"]["measured_evaluations"] < rows["reference"]["evaluations"] <= 7200
    assert rows["interactive"]["measured_evaluations"] == rows["interactive"]["evaluations"]
    np.testing.assert_array_equal(subject.plain.holes.any(0), brain)


def test_a_whole_scan_reports_the_time_outside_the_network(report):
    rows = rows_by(report[0]["scan"], "protocol")
    assert set(rows) == {"interactive", "fast", "reference"}
    for name in ("interactive", "fast"):
        assert 0 < rows[name]["outside_network_seconds"] < rows[name]["seconds"]
        assert rows[name]["estimated"] is False
    assert rows["reference"]["estimated"] is True
    assert rows["reference"]["outside_network_seconds"] is None


def test_backends_without_a_file_say_so(report):
    rows = rows_by(report[0]["network"], "backend")
    assert rows["onnx"]["times"] == []
    assert "denoiser.onnx" in rows["onnx"]["note"]
    assert rows["torch"]["relative_error"] < 1e-5
    assert len(rows["torch"]["times"]) == 4


def test_without_a_gpu_the_section_says_why(report):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert report[0]["gpu"] == {"absent": "PyTorch sees no CUDA GPU"}


def test_tables_fit_into_100_columns_with_every_figure(report, capsys):
    print_tables(report[0])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "…" not in shown
    for table in tables(report[0]):
        for row in table.rows:
            assert any(all(cell in line for cell in row) for line in shown.splitlines())


def test_ratios_are_those_of_the_times():
    rows = [
        CompletionRow("fast", 1, ms=2.0),
        CompletionRow("absent", 1, note="not installed"),
        CompletionRow(REPAINT, 2410, ms=1000.0),
        CompletionRow(MASKED_DDIM, 50, ms=50.0),
    ]
    fast, absent, repaint, ddim = compared(rows)
    assert fast.times_faster_than_repaint == 500
    assert fast.times_faster_than_masked_ddim == 25
    assert repaint.times_faster_than_repaint == 1
    assert ddim.times_faster_than_repaint == 20
    assert absent.times_faster_than_repaint is None
    assert compared(rows[:1])[0].times_faster_than_repaint is None


def test_the_median_of_all_rounds_counts(subject, denoiser):
    one_step = methods()[:1]
    (row,) = measure_completions(
        one_step, subject, denoiser, repeats=3, quick=False, say=lambda line: None
    )
    assert row.repeats == 3
    assert row.ms_per_evaluation == row.ms


@pytest.mark.parametrize(
    ("module", "package"), [("cv2", "opencv-python-headless"), ("diffusers", "diffusers")]
)
def test_an_absent_package_leaves_the_other_rows(subject, denoiser, monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    chosen = [m for m in methods() if m.evaluations < 2 or m.name == MASKED_DDIM]
    rows = measure_completions(
        chosen, subject, denoiser, repeats=1, quick=True, say=lambda line: None
    )
    assert {row.note for row in rows if row.ms is None} == {f"{package} is not installed"}
    assert all(row.note == "" for row in rows if row.ms is not None)
    assert rows[0].ms is not None


def test_without_diffusers_the_published_network_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    row = measure_published(published.NETWORKS[0], measured_evaluations=1)
    assert row.note == "diffusers is not installed"
    assert row.seconds is None
    assert row.evaluations == 7200


def test_a_perfect_completion_has_no_error_and_finds_the_bleed(subject, denoiser):
    config = denoiser.config
    truth = np.clip(subject.plain.context.image, *config.hu_window)
    perfect = np.broadcast_to(truth, subject.plain.holes.shape)
    assert subject.plain.mean_absolute_error(perfect, config) == 0
    assert subject.bled is not None
    assert subject.bled.lesion.any()
    # the copy differs from the plain slice in and around the bleed only
    assert subject.bled.lesion_auroc(perfect, config) > 0.95
    assert subject.bled.lesion_auroc(-perfect, config) < subject.bled.lesion_auroc(perfect, config)


def test_operations_are_counted_as_two_for_each_multiplication():
    linear = torch.nn.Linear(3, 5)
    assert gflop(lambda: linear(torch.zeros(7, 3))) == pytest.approx(2 * 7 * 3 * 5 / 1e9)


def test_a_count_without_computing_is_that_of_the_network(coarse_model):
    config = load_config(coarse_model, ModelConfig)
    network = load_network(coarse_model, config)
    inputs = torch.zeros(1, config.network.in_channels, 16, 24)
    counted = gflop(lambda: network(inputs, torch.tensor([5])))
    assert network_gflop(config, (16, 24)) == pytest.approx(counted)


def test_the_clock_of_the_network_ends_with_its_block(subject, denoiser):
    call = type(denoiser).__call__
    one_step = methods()[0]
    with network_clock() as clock:
        one_step.fill(subject.plain, denoiser)
    measured = clock.seconds
    assert measured > 0
    one_step.fill(subject.plain, denoiser)
    assert clock.seconds == measured
    assert type(denoiser).__call__ is call


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the peak")
def test_peak_memory_sees_what_was_freed_again():
    with PeakMemory() as memory:
        np.ones(40_000_000, np.uint8).sum()
    if memory.mb is None:
        pytest.skip("this system does not reset the peak")
    assert 39 < memory.mb < 80


def test_the_floor_is_operations_over_the_peak():
    (row,) = floor_rows([ScanRow("fast", 10, 80, 500.0, 20.0)], {"float32": 100.0})
    assert row.floor_seconds == {"float32": 5.0}
    assert row.times_above == {"float32": 4.0}


def test_a_missing_folder_is_said_before_anything_is_measured(tmp_path, capsys):
    assert main(["bench", "--quick", "-o", str(tmp_path / "absent" / "bench.json")]) == 1
    said = capsys.readouterr().err
    assert "no folder" in said
    assert "measuring" not in said


def test_a_series_without_an_input_is_a_usage_error(capsys):
    assert main(["bench", "--series", "1.2.3"]) == 2
    assert "INPUT" in capsys.readouterr().err


def test_an_interrupt_ends_with_130(scan, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "make_subject", interrupted)
    assert main(["bench", str(scan), "--quick"]) == 130
    assert "Cancelled" in capsys.readouterr().err
