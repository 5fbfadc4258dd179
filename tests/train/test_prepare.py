import csv
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_head import make_series, save

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.errors import Cancelled, InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti
from napari_rsna_inpaint.train import build, headers
from napari_rsna_inpaint.train.build import Job, build_dataset, summary
from napari_rsna_inpaint.train.prepare import to_model_grid
from napari_rsna_inpaint.train.shards import open_dataset

PIXEL_MM = 2.0
N = 3


def phantom(seed):
    return head_phantom(seed=seed, shape=(N, 96, 96), spacing=(5.0, 2.0, 2.0)).volume


def slices(seed, patient, series):
    """A head as RSNA publishes it: the name of the file is the SOP instance UID."""
    datasets = make_series(phantom(seed).hu, series=series, spacing=(2.0, 2.0))
    for z, ds in enumerate(datasets):
        ds.PatientID = patient
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"ID_{seed}{9 - z}"
    return datasets


def names(datasets):
    return [f"{ds.SOPInstanceUID}.dcm" for ds in datasets]


@pytest.fixture(scope="module")
def rsna(tmp_path_factory) -> Path:
    """Three series in one flat folder: two of one patient, a bleed in the second slice of one."""
    root = tmp_path_factory.mktemp("rsna")
    heads = [slices(1, "ID_one", "ID_a"), slices(2, "ID_one", "ID_b"), slices(3, "ID_two", "ID_c")]
    lines = ["ID,Label"]
    for head in heads:
        save(root / "stage_2_train", head, names(head))
        for ds in head:
            bleed = int(ds.SOPInstanceUID == "ID_38")
            lines += [f"{ds.SOPInstanceUID}_{kind},{bleed}" for kind in ("any", "epidural")]
    lines.append(lines[-2])  # the published table repeats some rows
    (root / "stage_2_train.csv").write_text("\n".join(lines) + "\n")
    return root


def job(folder, output, **options):
    return Job([folder], output, pixel_mm=PIXEL_MM, series_per_shard=1, **options)


def run(job, cancelled=lambda: False):
    return build_dataset(job, lambda what, done, total: None, cancelled)


def content(folder):
    return {p.name: p.read_bytes() for p in folder.glob("*") if p.is_file()}


def report(folder):
    with (folder / "report.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def prepared(rsna, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("prepared")
    run(job(rsna, output))
    return output


def test_the_published_layout_is_grouped_by_series_and_patient(prepared):
    series = open_dataset(prepared)
    assert [len(one.hu) for one in series] == [N, N, N]
    assert len({one.name for one in series}) == 3
    by_patient = sorted([s.patient for s in series].count(p) for p in {s.patient for s in series})
    assert by_patient == [1, 2]
    bled = [one for one in series if not one.healthy]
    assert [one.labels.tolist() for one in bled] == [[0, 1, 0]]
    assert all(one.labels.tolist() == [0] * N for one in series if one.healthy)
    # the healthy ones are those of the patient with two series
    assert {s.patient for s in series if s.healthy}.isdisjoint(s.patient for s in bled)
    assert all(len(one.usable) for one in series)


def test_slices_read_from_disk_equal_those_in_memory(prepared):
    expected = {to_model_grid(phantom(seed), PIXEL_MM)[0].tobytes(): seed for seed in (1, 2, 3)}
    for one in open_dataset(prepared, PIXEL_MM):
        hu = np.asarray(one.hu)
        assert hu.dtype == np.int16
        seed = expected.pop(hu.tobytes())
        brain = to_model_grid(phantom(seed), PIXEL_MM)[1]
        for mask in (one.brain, pickle.loads(pickle.dumps(one.brain))):
            assert mask[0].dtype == bool
            np.testing.assert_array_equal(np.stack(mask), brain)
        np.testing.assert_array_equal(one.hu[-1], hu[N - 1])
        np.testing.assert_array_equal(one.hu[1:], hu[1:])
        with pytest.raises(IndexError):
            one.hu[N]
    assert not expected


def test_no_output_names_a_patient(tmp_path):
    """Neither a name nor an ID, though a folder is called by it."""
    save(tmp_path / "data" / "Canary^Carla", make_series(phantom(1).hu, spacing=(2.0, 2.0)))
    run(job(tmp_path / "data", tmp_path / "out"))
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"canary" not in written.lower()
    assert b"carla" not in written.lower()


def test_several_processes_give_the_same_files(rsna, prepared, tmp_path):
    run(job(rsna, tmp_path, workers=2))
    assert content(tmp_path) == content(prepared)


KILLED = """
import os, signal, sys
from pathlib import Path
from napari_rsna_inpaint.train.build import Job, build_dataset
assert "torch" not in sys.modules, "a worker would load it for nothing"
job = Job([Path(sys.argv[1])], Path(sys.argv[2]), pixel_mm=2.0, series_per_shard=1)
def progress(what, done, total):
    if what == "preparing" and done == 2 * total // 3:
        os.kill(os.getpid(), signal.SIGKILL)
build_dataset(job, progress, lambda: False)
"""


@pytest.mark.skipif(os.name != "posix", reason="no SIGKILL")
def test_a_killed_run_goes_on_and_gives_the_same_files(rsna, prepared, tmp_path, monkeypatch):
    died = subprocess.run([sys.executable, "-c", KILLED, str(rsna), str(tmp_path)], timeout=60)
    assert died.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("shard-*"))) == 1
    with pytest.raises(InputRefused, match="not finished"):
        open_dataset(tmp_path)
    done = []
    whole = build.prepare_series

    def watched(source, pixel_mm):
        done.append(source.name)
        return whole(source, pixel_mm)

    monkeypatch.setattr(build, "prepare_series", watched)
    monkeypatch.setattr(headers, "_read_header", None)
    run(job(rsna, tmp_path))
    assert len(done) == 2
    assert content(tmp_path) == content(prepared)


def test_a_damaged_shard_is_made_again(rsna, prepared, tmp_path):
    run(job(rsna, tmp_path))
    shard = tmp_path / "shard-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:1000])
    run(job(rsna, tmp_path))
    assert content(tmp_path) == content(prepared)


def test_changed_inputs_are_prepared_anew(rsna, tmp_path):
    data, output = tmp_path / "data", tmp_path / "out"
    heads = [slices(1, "ID_one", "ID_a"), slices(2, "ID_one", "ID_b")]
    for head in heads:
        save(data, head, names(head))
    run(job(data, output))
    assert [len(one.hu) for one in open_dataset(output)] == [N, N]
    for name in names(heads[0]):
        (data / name).unlink()
    (data / names(heads[1])[0]).unlink()
    run(job(data, output))
    assert [len(one.hu) for one in open_dataset(output)] == [N - 1]
    assert len(list(output.glob("shard-*"))) == 1


def test_another_recipe_is_refused(rsna, prepared):
    before = content(prepared)
    with pytest.raises(InputRefused, match="another pixel_mm; name another folder"):
        run(replace(job(rsna, prepared), pixel_mm=3.0))
    with pytest.raises(InputRefused, match="another list of input folders"):
        run(job(rsna / "stage_2_train", prepared))
    assert content(prepared) == before


def test_pixels_of_another_size_are_refused(prepared, tmp_path):
    with pytest.raises(InputRefused, match=r"pixels of 2.0 mm, the model of 1.0 mm"):
        open_dataset(prepared, 1.0)
    with pytest.raises(InputRefused, match="no prepared data"):
        open_dataset(tmp_path)


def test_damaged_files_are_listed_and_the_rest_is_prepared(tmp_path):
    head, lost = slices(1, "ID_one", "ID_a"), slices(2, "ID_two", "ID_b")
    data = save(tmp_path / "data", head + lost, names(head + lost))
    cut = [data / names(head)[1], *(data / name for name in names(lost))]
    for path in cut:
        path.write_bytes(path.read_bytes()[:-5000])
    (data / "notes.txt").write_text("hello, these are not the images that you are looking for" * 9)
    code = main(["prepare", str(data), "-o", str(tmp_path / "out"), "--workers", "1"])
    assert code == 5
    rows = report(tmp_path / "out")
    assert "cut off" in rows[names(head)[1]]["reason"]
    assert rows["notes.txt"]["reason"] == "not a DICOM file"
    (series,) = open_dataset(tmp_path / "out")
    assert len(series.hu) == N - 1
    assert rows[series.name]["codes"] == "slice-refused"
    (refused,) = [row for row in rows.values() if row["outcome"] == "left out"]
    assert refused["codes"] == "no-readable-slice"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """Group ``healthy`` with series s1 to s3; a table beside it knows s1, and reads the others."""
    root = tmp_path_factory.mktemp("folders")
    rows = ["slice_id\tany\tvisual_class"]
    for seed, any_, readings in (
        (1, "0", "NNN"),
        (2, "", "NPB"),
        (3, "", "NHN"),
    ):
        head = slices(seed, f"ID_p{seed}", f"ID_s{seed}")
        save(root / "healthy" / f"s{seed}", head, names(head))
        rows += [
            f"{ds.SOPInstanceUID}\t{any_}\t{reading}_"
            for ds, reading in zip(head, readings, strict=True)
        ]
    (root / "labels.tsv").write_text("\n".join(rows) + "\n")
    return root / "healthy"


@pytest.mark.parametrize("vouched", [False, True])
def test_series_folders_keep_their_names_and_labels(folders, tmp_path, vouched):
    rows = run(job(folders, tmp_path, unlabelled_healthy=vouched))
    series = open_dataset(tmp_path)
    assert [one.name for one in series] == ["s1", "s2", "s3"]
    assert [one.healthy for one in series] == [True, vouched, False]
    assert series[1].labels.tolist() == [-1] * N
    assert series[2].labels.tolist() == [-1, 1, -1]
    # the slice that was read as other pathology stays as a neighbour only
    assert set(series[1].usable) == set(series[0].usable) - {1}
    assert "doubtful 1" in summary(rows)


def test_nifti_files_are_series_and_take_their_labels_by_name(tmp_path):
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    for seed, name in ((1, "a.nii.gz"), (2, "b.nii"), (3, "sub/c.nii.gz")):
        write_nifti(data / name, phantom(seed).hu, phantom(seed))
    table = "file\tany\tpatient_id\na.nii.gz\t0\tP\nb\t1\tP\n"
    (data / "labels.tsv").write_text(table)
    run(job(data, tmp_path / "out"))
    a, b, c = open_dataset(tmp_path / "out")
    assert (a.name, b.name, c.name) == ("a", "b", "sub/c")
    assert (a.healthy, b.healthy, c.healthy) == (True, False, False)
    assert a.patient == b.patient != c.patient
    assert a.labels.tolist() == [0] * N
    assert b.labels.tolist() == [-1] * N


def test_a_table_tells_the_patient_of_files_without_an_id(tmp_path):
    """Or two studies of one patient could be trained and validated on."""
    rows = []
    for k, person in enumerate(("P", "P", "Q")):
        head = slices(k + 1, "", f"ID_{k}")
        for ds in head:
            ds.StudyInstanceUID = f"1.2.{k}"
            rows.append(f"{ds.SOPInstanceUID}\t0\t{person}")
        save(tmp_path / "data" / f"s{k}", head)
    (tmp_path / "labels.tsv").write_text("slice_id\tany\tpatient_id\n" + "\n".join(rows))
    run(job(tmp_path / "data", tmp_path / "out"))
    a, b, c = open_dataset(tmp_path / "out")
    assert a.patient == b.patient != c.patient


def test_a_copy_of_a_series_elsewhere_is_left_out(tmp_path):
    """Even if its pixels differ, say in the air around the head."""
    head = slices(1, "ID_one", "ID_a")
    save(tmp_path / "data" / "raw", head, names(head))
    for ds in head:
        ds.PixelData = bytes(len(ds.PixelData))
    save(tmp_path / "data" / "second", head, names(head))
    run(job(tmp_path / "data", tmp_path / "out"))
    (series,) = open_dataset(tmp_path / "out")
    assert series.name == "raw"
    rows = report(tmp_path / "out").values()
    copies = [row["name"] for row in rows if row["reason"] == "another copy of a slice"]
    assert sorted(copies) == sorted(f"second/{name}" for name in names(head))


def test_labels_follow_their_slices_whatever_the_order_of_the_files(tmp_path):
    """The last file lies lowest in the head."""
    head = slices(1, "ID_one", "ID_a")[::-1]
    save(tmp_path / "data", head, [f"{z}.dcm" for z in range(N)])
    (tmp_path / "data" / "labels.tsv").write_text("slice_id\tany\n0\t1\n1\t0\n2\t0\n")
    run(job(tmp_path / "data", tmp_path / "out"))
    (series,) = open_dataset(tmp_path / "out")
    assert series.labels.tolist() == [0, 0, 1]
    hu, _ = to_model_grid(phantom(1), PIXEL_MM)
    np.testing.assert_array_equal(series.hu[2], hu[2])


def test_a_changed_file_is_looked_into_again(rsna, tmp_path):
    files = list(headers.list_files(rsna, without=tmp_path))
    files = [file for file in files if file.path.endswith(".dcm")]

    def read_all(files):
        return [h for part in headers.read_file_headers(files, tmp_path, 1, bool) for h in part]

    first = read_all(files)
    assert len({header.series for header in first}) == 3
    changed = [file._replace(path=__file__) if i == 4 else file for i, file in enumerate(files)]
    second = read_all(changed)
    assert second[4].problem == "not a DICOM file"
    assert second[:4] == first[:4]


def test_a_cancelled_run_keeps_its_shards(rsna, tmp_path):
    with pytest.raises(Cancelled, match="the same command goes on"):
        run(job(rsna, tmp_path), lambda: len(list(tmp_path.glob("shard-*"))) == 1)
    assert len(list(tmp_path.glob("shard-*"))) == 1


def test_ctrl_c_ends_with_130(rsna, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return headers.FileHeader(problem="not reached")

    monkeypatch.setattr(headers, "_read_header", interrupted)
    assert main(["prepare", str(rsna), "-o", str(tmp_path / "out"), "--workers", "1"]) == 130
    assert "Cancelled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a,b\n1,2\n", "no column slice_id or file"),
        ("slice_id\tany\nx\tmaybe\n", "Line 2 of t.tsv has 'maybe'"),
        ("ID,Label\nID_a_any,maybe\n", "Line 2 of t.tsv has 'maybe'"),
    ],
)
def test_bad_input_is_refused_in_one_line(rsna, tmp_path, capsys, table, said):
    (tmp_path / "t.tsv").write_text(table)
    command = ["prepare", str(rsna), "-o", str(tmp_path / "out"), "--workers", "1"]
    assert main([*command, "--labels", str(tmp_path / "t.tsv")]) == 3
    assert said in capsys.readouterr().err
    assert main(["prepare", str(tmp_path / "absent"), "-o", str(tmp_path / "out")]) == 3
    assert "There is no folder" in capsys.readouterr().err


def test_a_folder_without_scans_is_refused(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("hello")
    assert main(["prepare", str(tmp_path / "data"), "-o", str(tmp_path / "out")]) == 3
    assert "No series could be prepared" in capsys.readouterr().err


@pytest.mark.data
def test_a_real_series_is_mostly_usable(data_root, tmp_path):
    root = data_root / "rsna-head-ct"
    rows = run(Job([root / "no_ich" / "s51"], tmp_path, tables=[root / "labels.tsv"]))
    (series,) = open_dataset(tmp_path)
    assert series.healthy
    assert rows[0]["usable"] >= 15
    assert all(20 < np.median(series.hu[z][series.brain[z]]) < 50 for z in series.usable)
