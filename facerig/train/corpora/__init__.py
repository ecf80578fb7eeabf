"""Corpora: speech with timed units, and speech with measured motion, from engines and from real recordings.

`python -m facerig.train.corpora build` fills a cache outside the repository (`$FACERIG_CACHE`, else
~/.cache/facerig/corpora), one folder a source, then packs it; what exists is skipped. `pack` packs alone.

Cache, per source: `<cache>/<source>/` holds parts, each `<part>.npy` (int16 mono, the source's own rate, clips one
after another) with `<part>.jsonl`, one row a clip (see `base.Row`); `manifest.jsonl` is all rows together.

Packed, per source, what the trainer reads (`load_packed`): audio of all clips at 24 kHz, int16, cut to whole
frames of 400 samples, in one `.audio.npy`; `.labels.npy` uint8, one unit index per 60 fps frame (frame i is the
instant i / 60 s of its clip), 255 = unlabelled; `.targets.npy` float32 [frames, K] for sets with measured motion
(NaN where invalid); `<source>.json` names these files, the columns of targets and the clips. The json is renamed
into place last, so a reader sees the old set or the new one.

Knows nothing of networks and features.
"""

from facerig.train.corpora.base import Row, cache_folder
from facerig.train.corpora.pack import PackedClip, PackedSet, load_packed

__all__ = ["PackedClip", "PackedSet", "Row", "cache_folder", "load_packed"]
