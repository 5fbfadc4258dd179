import warnings

import imagecodecs
import numpy as np
import pytest
from dicom_head import codes, judge, make_series, plastic_head, save, set_stored, stored_of
from pydicom import uid
from pydicom.encaps import encapsulate

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io import inspect, pixels, read

HU = plastic_head(4, 40, 48)


def jpeg(stored, lossless):
    return imagecodecs.jpeg8_encode(
        stored.astype(np.uint16), lossless=lossless, bitspersample=12, level=100
    )


def jpegls(stored, near):
    return imagecodecs.jpegls_encode(stored.astype(np.uint16), level=near)


def htj2k(stored):
    return imagecodecs.htj2k_encode(stored.astype(np.uint16), reversible=True)


ENCODERS = {
    uid.JPEGLossless: lambda a: jpeg(a, True),
    uid.JPEGLosslessSV1: lambda a: jpeg(a, True),
    uid.JPEGLSLossless: lambda a: jpegls(a, 0),
    uid.JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(
        a.astype(np.uint16), codecformat="j2k", reversible=True, bitspersample=12
    ),
    uid.HTJ2KLossless: htj2k,
    uid.JPEGExtended12Bit: lambda a: jpeg(a, False),
    uid.JPEGLSNearLossless: lambda a: jpegls(a, 2),
}
LOSSY = {uid.JPEGExtended12Bit: 40, uid.JPEGLSNearLossless: 2}


def compress(ds, syntax, stream):
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax


def compressed(syntax, hu=HU):
    slices = make_series(hu)
    for ds in slices:
        compress(ds, syntax, ENCODERS[syntax](stored_of(ds)))
    return slices


@pytest.mark.parametrize("syntax", ENCODERS, ids=lambda syntax: syntax.keyword)
def test_compressed_slices_are_exact(tmp_path, syntax):
    volume = judge(save(tmp_path / "s", compressed(syntax)))
    if syntax in LOSSY:
        assert codes(volume) == ["lossy"]
        assert np.abs(volume.hu.astype(int) - HU).max() <= LOSSY[syntax]
        # Close, yet not the same: it was really compressed with loss.
        assert (volume.hu != HU).any()
    else:
        assert volume.notes == ()
        np.testing.assert_array_equal(volume.hu, HU)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_signed_values_compressed_by_the_usual_encoders(tmp_path, syntax, bits):
    slices = make_series(HU)
    for ds in slices:
        stored = stored_of(ds).astype(int) - 1024
        ds.PixelRepresentation, ds.RescaleIntercept = 1, 0
        ds.BitsStored, ds.HighBit = bits, bits - 1
        set_stored(ds, stored)
        ds.compress(syntax)
    volume = judge(save(tmp_path / "s", slices))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_native_syntaxes_are_exact(tmp_path, syntax):
    slices = make_series(HU)
    for ds in slices:
        if syntax == uid.ExplicitVRBigEndian:
            ds.PixelData = stored_of(ds).astype(">u2").tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
    volume = judge(save(tmp_path / "s", slices))
    assert volume.notes == ()
    np.testing.assert_array_equal(volume.hu, HU)


def test_one_series_may_mix_syntaxes(tmp_path):
    slices = make_series(HU)
    compress(slices[1], uid.JPEGLosslessSV1, jpeg(stored_of(slices[1]), True))
    slices[2].compress(uid.RLELossless)
    np.testing.assert_array_equal(judge(save(tmp_path / "s", slices)).hu, HU)


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_stream_cut_inside_its_wrapping_is_left_out(tmp_path, syntax):
    slices = compressed(syntax)
    stream = ENCODERS[syntax](stored_of(make_series(HU)[1]))
    compress(slices[1], syntax, stream[: len(stream) // 2])
    folder = save(tmp_path / "s", slices)
    volume = judge(folder)
    assert codes(volume) == ["slice-refused", "missing-slices"]
    np.testing.assert_array_equal(volume.hu, np.delete(HU, 1, axis=0))


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.RLELossless])
def test_file_cut_inside_a_stream_is_left_out(tmp_path, syntax):
    slices = make_series(HU) if syntax == uid.RLELossless else compressed(syntax)
    if syntax == uid.RLELossless:
        for ds in slices:
            ds.compress(syntax)
    folder = save(tmp_path / "s", slices)
    content = (folder / "f001").read_bytes()
    (folder / "f001").write_bytes(content[:-200])
    assert codes(judge(folder)) == ["slice-refused", "missing-slices"]


def test_stream_of_another_size_is_left_out(tmp_path):
    slices = compressed(uid.JPEGLosslessSV1)
    wide = np.zeros((4000, 3000), np.uint16)
    compress(slices[1], uid.JPEGLosslessSV1, jpeg(wide, True))
    folder = save(tmp_path / "s", slices)
    volume = read(folder)
    assert codes(volume) == ["missing-slices", "slice-refused"]
    assert "4000 x 3000" in volume.notes[1].message


def test_elements_after_the_pixels_do_not_look_like_damage(tmp_path):
    slices = compressed(uid.JPEGLSLossless)
    for ds in slices:
        ds.add_new(0xFFFCFFFC, "OB", bytes(100))
    assert judge(save(tmp_path / "s", slices)).notes == ()


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEG2000Lossless, uid.RLELossless])
def test_damaged_streams_never_crash(tmp_path, syntax):
    """Flipped bytes give either a volume or a refusal in words, whatever the decoder does."""
    generator = np.random.default_rng(3)
    slices = make_series(HU[:1]) if syntax == uid.RLELossless else compressed(syntax, HU[:1])
    if syntax == uid.RLELossless:
        slices[0].compress(syntax)
    folder = save(tmp_path / "s", slices)
    content = (folder / "f000").read_bytes()
    start = content.rindex(b"\xfe\xff\x00\xe0") + 8
    outcomes = set()
    for _ in range(40):
        damaged = bytearray(content)
        for at in generator.integers(start, len(content) - 12, 6):
            damaged[at] ^= int(generator.integers(1, 256))
        (folder / "f000").write_bytes(damaged)
        try:
            outcomes.add(read(folder).hu.shape)
        except InputRefused as refusal:
            outcomes.add(str(refusal)[:22])
    assert outcomes <= {(1, 40, 48), "No slice can be read: "}
    assert "No slice can be read: " in outcomes


def test_missing_decoder_is_named_with_its_remedy(tmp_path, monkeypatch):
    plugin = (pixels._PLUGINS[uid.JPEGLSLossless][0] + "-absent", "pyjpegls")
    monkeypatch.setitem(pixels._PLUGINS, uid.JPEGLSLossless, plugin)
    pixels._decoder.cache_clear()
    try:
        refusal = judge(save(tmp_path / "s", compressed(uid.JPEGLSLossless)))
    finally:
        pixels._decoder.cache_clear()
    assert isinstance(refusal, InputRefused)
    assert refusal.code == "decoder-missing"
    assert "JPEG-LS" in str(refusal)
    assert "pip install pyjpegls" in str(refusal)


def test_video_is_refused_by_name(tmp_path):
    slices = make_series(HU[:1])
    compress(slices[0], uid.MPEG2MPML, b"\0" * 100 + b"\xff\xd9")
    assert "MPEG2" in str(judge(save(tmp_path / "s", slices)))


def test_reading_leaves_no_warnings_and_no_settings_behind(tmp_path):
    from pydicom.config import settings

    before = settings.reading_validation_mode, settings.writing_validation_mode
    folder = save(tmp_path / "s", make_series(HU))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(folder)
        inspect(folder)
    assert (settings.reading_validation_mode, settings.writing_validation_mode) == before
