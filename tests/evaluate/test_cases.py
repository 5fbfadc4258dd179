import dataclasses
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.cases import Case, read_cases, slice_truth
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.label_table import UNKNOWN

HEADER = "slice_id\tseries\tpatient_id\tz_mm\tany\tsubdural\tvisual_class\n"


@pytest.fixture(scope="module")
def volume():
    return head_phantom(shape=(4, 32, 32), spacing=(5.0, 6.0, 6.0)).volume


@pytest.fixture
def table(tmp_path):
    def write(*rows: str, header: str = HEADER):
        path = tmp_path / "labels.tsv"
        path.write_text(header + "\n".join(rows) + "\n")
        return path

    return write


def test_series_are_grouped_found_and_named(table, tmp_path):
    labels = table(
        "a\tich/s01\tP1\t\t1\t1\t", "b\tich/s01\tP1\t\t0\t0\t", "c\tno/s02\tP2\t\t0\t0\t"
    )
    (tmp_path / "ich" / "s01").mkdir(parents=True)
    (tmp_path / "s02").mkdir()
    first, second = read_cases(tmp_path, labels)
    assert (first.name, first.patient, first.path) == ("ich/s01", "P1", tmp_path / "ich" / "s01")
    assert first.folder_name == "ich%2Fs01"
    assert second.path == tmp_path / "s02"
    assert first.slices["a"].bleed == 1
    subtypes = dict(zip(SUBTYPES, first.slices["a"].subtypes, strict=True))
    assert subtypes == {**dict.fromkeys(SUBTYPES, UNKNOWN), "subdural": 1}
    assert [case.name for case in read_cases(tmp_path, labels, ["s02"])] == ["no/s02"]
    assert [case.number for case in read_cases(tmp_path, labels, ["no/s02"])] == [2]


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_every_series_has_a_result_folder_of_its_own(name):
    folder = Case(1, name, Path(), "P", {}).folder_name
    assert unquote(folder) == name
    assert "/" not in folder
    assert not folder.startswith(".")


def test_a_table_of_single_slices_has_a_patient_each(table, tmp_path):
    (tmp_path / "x.dcm").touch()
    cases = read_cases(tmp_path, table("x,1", "y,0", header="slice_id,any\n"))
    assert [case.patient for case in cases] == ["x", "y"]
    assert cases[0].path == tmp_path / "x.dcm"


def test_a_visual_reading_is_trusted_only_where_it_is_clear(table, tmp_path):
    clear, bone = "N_brain_no_evident_ich", "B_skullbase_vertex_or_empty"
    labels = table(
        f"a\ts1\tP\t\t\t\t{clear}",
        f"b\ts1\tP\t\t\t\t{bone}",
        f"c\ts2\tP\t\t\t\t{clear}",
        "d\ts2\tP\t\t\t\tU_uncertain",
        "e\ts3\tP\t\t\t\tH_evident",
        f"f\ts4\tP\t\t0\t0\t{clear}",
        "g\ts4\tP\t\t\t\t",
    )
    sources = [case.source for case in read_cases(tmp_path, labels)]
    assert sources == ["visual", "none", "none", "reference"]


def test_labels_find_their_slices_by_id_else_by_position(table, tmp_path, volume):
    rows = [f"{name}\ts\tP\t\t{k % 2}\t0\t" for k, name in enumerate(volume.slice_ids)]
    by_id = slice_truth(read_cases(tmp_path, table(*rows[::-1]))[0], volume)
    np.testing.assert_array_equal(by_id.bleed, [0, 1, 0, 1])
    heights = volume.positions[:, 2]
    rows = [f"other{k}\ts\tP\t{heights[k] + 1:.2f}\t{k % 2}\t0\t" for k in range(3)]
    turned = dataclasses.replace(
        volume, positions=volume.positions[::-1].copy(), hu=volume.hu[::-1].copy()
    )
    case = read_cases(tmp_path, table(*rows))[0]
    np.testing.assert_array_equal(slice_truth(case, volume).bleed, [0, 1, 0, UNKNOWN])
    np.testing.assert_array_equal(slice_truth(case, turned).bleed, [UNKNOWN, 0, 1, 0])


def test_labels_of_another_scan_are_refused(table, tmp_path, volume):
    case = read_cases(tmp_path, table("other\ts\tP\t9000\t1\t0\t"))[0]
    with pytest.raises(InputRefused, match="None of the labels"):
        slice_truth(case, volume)


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["a\ts\tP\t\tyes\t\t"], HEADER, "Line 2"),
        (["a\ts\tP\thigh\t1\t\t"], HEADER, "z_mm"),
        (["a\ts\tP\t\t1\t\t", "a\ts\tP\t\t1\t\t"], HEADER, "Line 3"),
        (["a\ts\tP\t\t1\t\t", "b\ts\tQ\t\t1\t\t"], HEADER, "2 patients"),
        (["a\t1"], "slice_id\tbleed\n", "no column any"),
        ([], HEADER, "no rows"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(table, tmp_path, rows, header, said):
    with pytest.raises(InputRefused, match=said):
        read_cases(tmp_path, table(*rows, header=header))


def test_a_table_or_series_that_is_not_there_is_named(table, tmp_path):
    with pytest.raises(InputRefused, match="--labels"):
        read_cases(tmp_path, tmp_path / "absent.tsv")
    with pytest.raises(InputRefused, match="s9"):
        read_cases(tmp_path, table("a\ts1\tP\t\t1\t\t"), ["s9"])
