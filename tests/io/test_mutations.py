"""Whatever bytes come in: a volume, a question or a refusal in words, and soon."""

import random
import time

import pytest
from dicom_head import make_series, plastic_head, save
from test_nifti import store

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io import inspect, read
from napari_rsna_inpaint.volume import CTVolume

HU = plastic_head(2)


def mutate(content, rng):
    mutant = bytearray(content)
    kind = rng.random()
    if kind < 0.6:
        for _ in range(rng.randint(1, 6)):
            mutant[rng.randrange(min(len(mutant), 1400))] = rng.randrange(256)
    elif kind < 0.8:
        del mutant[rng.randrange(len(mutant)) :]
    else:
        at = rng.randrange(len(mutant))
        mutant[at:at] = mutant[: rng.randint(1, 200)]
    return bytes(mutant)


@pytest.mark.parametrize("kind", ["dicom", "nii", "nii.gz"])
def test_mutants_end_in_words(tmp_path, kind):
    if kind == "dicom":
        path = save(tmp_path, make_series(HU[:1])) / "f000"
    else:
        path = store(tmp_path / f"a.{kind}")
    content = path.read_bytes()
    rng = random.Random(kind)
    ends = set()
    for _ in range(80):
        path.write_bytes(mutate(content, rng))
        start = time.monotonic()
        inspect(path)
        try:
            ends.add(type(read(path)))
        except (InputRefused, ChoiceNeeded) as problem:
            ends.add(type(problem))
            if "\n" in str(problem) or not str(problem).endswith("."):
                pytest.fail(f"not a sentence: {problem}")
        assert time.monotonic() - start < 10
    # Hardly any mutant of a gzip file gets past its checksum.
    expected = {InputRefused} if kind == "nii.gz" else {CTVolume, InputRefused}
    assert expected <= ends
