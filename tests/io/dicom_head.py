"""A plastic head, made by a formula and written as DICOM the way scanners do."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import inspect, read

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def plastic_head(slices=6, rows=24, columns=20):
    """HU ``(z, y, x)`` int16: skull, brain, one bright spot front left, all slices unlike."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    radius = np.hypot(x, y)
    hu = np.full((slices, rows, columns), -1000, np.int16)
    for z in range(slices):
        hu[z][radius < 0.9] = 1200
        hu[z][radius < 0.75] = 30 + z
    hu[:, rows // 4, 3 * columns // 4] = 90
    hu += np.arange(columns, dtype=np.int16)
    return hu


def make_slice(hu, position, *, series="1.2.3", orientation=AXIAL, number=1, spacing=(0.5, 0.5)):
    """One CT slice as a DICOM dataset: 12 bits unsigned, intercept -1024."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID = "Canary^Carla", "canary-4711"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2", series
    ds.SeriesDescription = "HEAD 5mm"
    ds.InstanceNumber = number
    ds.SliceThickness = 5
    ds.ConvolutionKernel = "H31"
    ds.ImagePositionPatient = [float(v) for v in position]
    ds.ImageOrientationPatient = [float(v) for v in orientation]
    ds.PixelSpacing = list(spacing)
    ds.Rows, ds.Columns = hu.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    set_stored(ds, hu.astype(np.int32) + 1024)
    return ds


def set_stored(ds, stored):
    """Put stored values ``(y, x)`` into a dataset in its own signedness."""
    ds.PixelData = stored.astype(np.int16 if ds.PixelRepresentation else np.uint16).tobytes()
    ds["PixelData"].VR = "OW"


def stored_of(ds):
    """Stored values ``(y, x)`` of an uncompressed dataset."""
    dtype = np.int16 if ds.PixelRepresentation else np.uint16
    return np.frombuffer(ds.PixelData, dtype).reshape(ds.Rows, ds.Columns)


def make_series(hu, step=(0.0, 0.0, 5.0), origin=(-5.0, -6.0, 100.0), **options):
    """All slices of a volume, the first at the origin, each a step further."""
    return [
        make_slice(plane, np.add(origin, np.multiply(index, step)), number=index + 1, **options)
        for index, plane in enumerate(hu)
    ]


def save(folder, datasets, names=None):
    """Write datasets as files and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, ds in enumerate(datasets):
        name = names[index] if names else f"f{index:03d}"
        ds.save_as(folder / name, enforce_file_format=True)
    return folder


def judge(path, series=None):
    """What `read` does and what `inspect` says; fails where they contradict each other."""
    rows = inspect(path)["series"]
    try:
        result = read(path, series)
    except (ChoiceNeeded, InputRefused) as problem:
        result = problem
    if len(rows) == 1 and series is None:
        row = rows[0]
        if isinstance(result, ChoiceNeeded):
            assert row["outcome"] == "ask"
            assert row["messages"][-1] == str(result)
        elif isinstance(result, InputRefused):
            assert row["outcome"] == "refused"
            assert row["messages"][-1] == str(result)
        else:
            assert row["outcome"] == ("note" if result.notes else "ok")
            assert row["codes"] == [note.code for note in result.notes]
            assert row["shape"] == list(result.hu.shape)
            np.testing.assert_allclose(row["spacing_mm"], result.spacing, atol=1e-5)
    return result


def codes(volume):
    """Codes of the notes of a volume."""
    return [note.code for note in volume.notes]
