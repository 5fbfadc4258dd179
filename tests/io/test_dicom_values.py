import numpy as np
import pytest
from dicom_head import (
    codes,
    judge,
    make_series,
    make_slice,
    plastic_head,
    save,
    set_stored,
    stored_of,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import inspect, read

HU = plastic_head()


def signed(ds, bits=16):
    stored = stored_of(ds).astype(np.int32) - 1024
    ds.PixelRepresentation, ds.RescaleIntercept = 1, 0
    ds.BitsStored, ds.HighBit = bits, bits - 1
    set_stored(ds, stored)


def test_slope_and_intercept_of_each_slice_are_used(tmp_path):
    hu = HU // 2 * 2
    slices = make_series(hu)
    for ds in slices[::2]:
        set_stored(ds, (stored_of(ds).astype(int) - 1024) // 2 + 1000)
        ds.RescaleSlope, ds.RescaleIntercept = 2, -2000
    volume = judge(save(tmp_path / "s", slices))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, hu)


def test_mixed_signedness_is_exact(tmp_path):
    slices = make_series(HU)
    for ds in slices[::2]:
        signed(ds)
    volume = judge(save(tmp_path / "s", slices))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)


def test_fractional_rescale_gives_float32(tmp_path):
    slices = make_series(HU)
    slices[0].RescaleSlope = 0.5
    volume = read(save(tmp_path / "s", slices))
    assert volume.hu.dtype == np.float32
    np.testing.assert_allclose(volume.hu[0], (HU[0] + 1024.0) / 2 - 1024)
    np.testing.assert_array_equal(volume.hu[1:], HU[1:])


def test_absurd_rescale_of_one_slice_is_noted(tmp_path):
    slices = make_series(HU)
    slices[2].RescaleIntercept = 24
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["rescale-outlier"]


@pytest.mark.parametrize("missing", [1, 6])
def test_missing_rescale_is_never_assumed(tmp_path, missing):
    slices = make_series(HU)
    for ds in slices[:missing]:
        del ds.RescaleSlope, ds.RescaleIntercept
    question = judge(save(tmp_path / "s", slices))
    assert isinstance(question, ChoiceNeeded)
    assert question.code == "rescale-missing"
    assert f"{missing} of 6" in str(question)


def test_values_without_any_air_are_asked_about(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        ds.RescaleIntercept = 0
        ds.BitsStored, ds.HighBit = 16, 15
    question = judge(save(tmp_path / "s", slices))
    assert isinstance(question, ChoiceNeeded)
    assert question.code == "no-air"


def test_wrap_at_4096_is_repaired_and_noted(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        set_stored(ds, (HU[ds.InstanceNumber - 1].astype(int)) % 4096)
        ds.RescaleIntercept = 0
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["rsna-wrap-4096"]
    np.testing.assert_array_equal(volume.hu, HU)


def test_wrap_is_repaired_on_slices_without_air_too(tmp_path):
    hu = HU.copy()
    hu[3] = -60
    slices = make_series(hu)
    for ds in slices:
        set_stored(ds, hu[ds.InstanceNumber - 1].astype(int) % 4096)
        ds.RescaleIntercept = 0
    np.testing.assert_array_equal(judge(save(tmp_path / "s", slices)).hu, hu)


def test_dense_metal_is_no_wrap(tmp_path):
    hu = HU.copy()
    hu[:, :6, :6] = 3071
    volume = judge(save(tmp_path / "s", make_series(hu)))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, hu)


def test_signed_values_declared_unsigned_are_corrected(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        signed(ds)
        ds.PixelRepresentation = 0
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["sign-corrected"]
    np.testing.assert_array_equal(volume.hu, HU)


def test_unsigned_values_declared_signed_are_corrected(tmp_path):
    hu = HU.copy()
    hu[:, 4:8, 4:8] = 1500 + 10 * np.arange(16).reshape(4, 4)
    slices = make_series(hu)
    for ds in slices:
        ds.PixelRepresentation = 1
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["sign-corrected"]
    np.testing.assert_array_equal(volume.hu, hu)


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_becomes_air(tmp_path, padding):
    slices = make_series(HU)
    for ds in slices:
        signed(ds)
        stored = stored_of(ds).copy()
        stored[:3] = -2000
        set_stored(ds, stored)
        ds.add_new("PixelPaddingValue", "US" if padding > 0 else "SS", padding)
    volume = judge(save(tmp_path / "s", slices))
    assert volume.notes == ()
    assert (volume.hu[:, :3] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, 3:], HU[:, 3:])


def test_padding_range_becomes_air(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        stored = stored_of(ds).copy()
        stored[0, :3] = 3, 5, 7
        set_stored(ds, stored)
        ds.add_new("PixelPaddingValue", "US", 6)
        ds.add_new("PixelPaddingRangeLimit", "US", 0)
    volume = read(save(tmp_path / "s", slices))
    np.testing.assert_array_equal(volume.hu[0, 0, :3], [-1024, -1024, 7 - 1024])


def test_monochrome1_and_window_leave_values_alone(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        ds.PhotometricInterpretation = "MONOCHROME1"
        ds.WindowWidth, ds.WindowCenter = 0, 40
    volume = judge(save(tmp_path / "s", slices))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)


def test_unused_high_bits_are_ignored(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        set_stored(ds, stored_of(ds) | 0x3000)
    np.testing.assert_array_equal(read(save(tmp_path / "s", slices)).hu, HU)


def test_modality_lut_is_applied_and_noted(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        del ds.RescaleSlope, ds.RescaleIntercept
        lut = Dataset()
        lut.add_new("LUTDescriptor", "US", [4096, 0, 16])
        lut.ModalityLUTType = "HU"
        table = (np.arange(4096) - 1024).astype(np.int16)
        lut.add_new("LUTData", "OW", table.view(np.uint16).tobytes())
        ds.ModalityLUTSequence = Sequence([lut])
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["modality-lut"]
    np.testing.assert_array_equal(volume.hu, HU)


def test_cut_off_slice_is_left_out_and_the_rest_loads(tmp_path):
    folder = save(tmp_path / "s", make_series(HU))
    whole = (folder / "f002").read_bytes()
    (folder / "f002").write_bytes(whole[:-300])
    volume = judge(folder)
    assert codes(volume) == ["slice-refused", "missing-slices"]
    np.testing.assert_array_equal(volume.hu, np.delete(HU, 2, axis=0))
    (entry,) = inspect(folder)["skipped"]
    assert entry["path"] == "f002"
    assert "cut off" in entry["reason"]


def test_only_cut_off_slices_are_refused(tmp_path):
    folder = save(tmp_path / "s", make_series(HU[:1]))
    whole = (folder / "f000").read_bytes()
    (folder / "f000").write_bytes(whole[:-300])
    result = judge(folder)
    assert isinstance(result, InputRefused)
    assert result.code == "no-readable-slice"


def test_impossible_values_of_one_slice_are_left_out(tmp_path):
    slices = make_series(HU)
    slices[1].RescaleSlope = 100
    volume = judge(save(tmp_path / "s", slices))
    assert "slice-refused" in codes(volume)
    np.testing.assert_array_equal(volume.hu, np.delete(HU, 1, axis=0))


def test_huge_declared_size_is_refused_before_any_room_is_made(tmp_path):
    slices = make_series(HU[:1])
    slices[0].Rows = slices[0].Columns = 8000
    assert isinstance(judge(save(tmp_path / "s", slices)), InputRefused)


@pytest.mark.parametrize(
    ("tag", "value"), [("BitsAllocated", 23), ("BitsStored", 40), ("PixelRepresentation", 7)]
)
def test_impossible_pixel_format_is_left_out(tmp_path, tag, value):
    slices = make_series(HU)
    setattr(slices[2], tag, value)
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["slice-refused", "missing-slices"]


def test_missing_description_of_the_pixels_is_completed(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        del ds.PhotometricInterpretation, ds.SamplesPerPixel, ds.HighBit
    np.testing.assert_array_equal(judge(save(tmp_path / "s", slices)).hu, HU)


def test_lossy_compression_is_noted(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 9.5
    volume = judge(save(tmp_path / "s", slices))
    assert codes(volume) == ["lossy"]
    assert "9.5" in volume.notes[0].message


def test_large_series_is_read_without_a_float_copy(tmp_path):
    import tracemalloc

    hu = plastic_head(40, 128, 128)
    folder = save(tmp_path / "s", make_series(hu))
    read(folder)
    tracemalloc.start()
    volume = read(folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert volume.hu.dtype == np.int16
    assert peak < 2 * volume.hu.nbytes


def test_invalid_uids_and_missing_series_uid(tmp_path):
    slices = make_series(HU, series="ID_7518324893")
    assert judge(save(tmp_path / "a", slices)).notes == ()
    for ds in slices:
        del ds.SeriesInstanceUID
    volume = judge(save(tmp_path / "b", slices))
    assert codes(volume) == ["no-series-uid"]
    np.testing.assert_array_equal(volume.hu, HU)


def test_person_never_shows(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        ds.SeriesDescription = "head CARLA canary"
        del ds.RescaleSlope
    folder = save(tmp_path / "s", slices)
    shown = repr(inspect(folder)) + str(judge(folder))
    for ds in slices:
        ds.RescaleSlope = 1
    volume = read(save(tmp_path / "s", slices))
    shown += volume.description + volume.source_id + repr(volume.notes) + repr(volume.slice_ids)
    assert "canary" not in shown.casefold()
    assert volume.description == ""


def test_odd_character_sets_do_not_fail(tmp_path):
    slices = make_series(HU)
    for ds in slices:
        ds.add_new("SpecificCharacterSet", "CS", "ISO_IR 999")
        ds.add_new("SeriesDescription", "LO", "../../x/<b>")
    assert judge(save(tmp_path / "s", slices)).hu.shape == HU.shape


def enhanced(hu, order):
    ds = make_slice(hu[0], (0, 0, 0))
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    del ds.RescaleSlope, ds.RescaleIntercept
    ds.NumberOfFrames = len(hu)
    ds.PixelData = (hu[list(order)].astype(int) + 1024).astype(np.uint16).tobytes()

    def item(**values):
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        return Sequence([inner])

    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=[0.5, 0.5], SliceThickness=5)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=-1024)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for index in order:
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=[-5, -6, 100 + 5 * index])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return ds


def test_multi_frame_ct_is_sorted_by_position(tmp_path):
    volume = judge(save(tmp_path / "s", [enhanced(HU, [3, 1, 0, 2, 5, 4])]))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)
    np.testing.assert_allclose(volume.slice_z_mm, 100 + 5 * np.arange(6))
    assert len(set(volume.slice_ids)) == 6


def test_multi_frame_without_positions_is_refused(tmp_path):
    ds = enhanced(HU, range(6))
    del ds.PerFrameFunctionalGroupsSequence
    folder = save(tmp_path / "s", [ds])
    with pytest.raises(InputRefused, match="multi-frame"):
        read(folder)
