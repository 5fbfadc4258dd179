"""A window of its own: opens a store and records verdicts, saying the number of each.

Arguments: place, reader, how many.
"""

import sys

from store_samples import FINDINGS, IDENTITY

from napari_rsna_inpaint.store import open_store

place, reader, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_store(place) as store:
    run = store.put_run(store.put_study(IDENTITY), {}, FINDINGS, None, None)
    for _ in range(count):
        event = store.record(run, "F1", "accepted", reader=reader)
        print(event.id, flush=True)
